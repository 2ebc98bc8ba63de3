"""From a folder of scans to a training set: the paper's curation (section 3.1).

A *source* is a case on disk; `readers` turn it into images or volumes with label maps, `curate`
cuts these into slices and masks by the `rules`, `store` keeps what came of it, and `prepare` does
so for a whole folder. `audit`, `stats` and `show` look at the result, or at any data folder.
"""
