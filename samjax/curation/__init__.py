"""The paper's curation (section 3.1): makes a training set of a folder of scans.

A *source* is a case on disk. `discover` finds the sources in a folder, `formats` reads them into
images or volumes with label maps, `curate` cuts these into slices and masks by the `rules`, `store`
writes the result, and `prepare` does so for a whole folder. `quality_check`, `stats` and `show`
inspect the result, or any data folder.
"""
