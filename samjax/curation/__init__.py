"""From a folder of scans to a training set: the paper's curation (section 3.1).

A *source* is a case on disk. `discover` finds the sources in a folder, `formats` reads them into
images or volumes with label maps, `curate` cuts these into slices and masks by the `rules`, `store`
writes the result, and `prepare` does so for a whole folder. `audit`, `stats` and `show` look at the
result, or at any data folder.
"""
