"""Finds the subject of each image of a data set, a patient or an animal, by its path.

| layout | example | subject |
|---|---|---|
| a word for patients | `images/patient3/000.png`, `case_00001/imaging.nii.gz` | `patient3` |
| BIDS | `sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz` | `sub-01` |
| a folder for each patient | `STS_008/CT/17.png`, `LIDC-0001/2001-03-04/1-01.dcm` | `STS_008` |
| volumes side by side | `imagesTr/hippocampus_001_0000.nii.gz` | `hippocampus_001` |
| numbered slices | `images/p1_001.png`, `10001_458.png`, `IM-0001-0003.png` | `p1`, `10001` |
| frames of one film | `film/frame_0001.png` | `film` |
| pictures side by side | `img_001.png`, `ISIC_0000001.jpg` | each its own |

In doubt, images are kept together: a subject with too many images is harmless, but one that was
divided may be on both sides of a split.
"""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from samjax.data import path_words
from samjax.data.path_words import ID, NUMBER, SESSION, SLICE, Token

VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".mgz", ".mgh")
_MARKED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sub-[A-Za-z0-9]+"
    r"|TCGA[-_][A-Za-z0-9]{2}[-_][A-Za-z0-9]{4}"
    r"|P_\d{5}(?!\d)"
    r"|BraTS-[A-Za-z]{2,4}-\d{5}"
    r"|(?:sub|subj|subject|patient|pat|pt|pid|case|participant|volunteer|mouse|rat|animal|donor)"
    r"(?:[ _-]*id)?(?:[ _-]+[A-Za-z]{0,4}|[ _-]?)\d[A-Za-z0-9]*)",
    re.IGNORECASE,
)
_SHORT = re.compile(r"[^\W\d_]{0,3}[-_ ]?\d+[A-Za-z]?")


@dataclasses.dataclass(frozen=True)
class Subject:
    """Subject of an image.

    Attributes:
        name: Name in the path; empty if the path has none.
        depth: Index of the folder in the path that has the name; None if the file's name has it.
        layout: Kind of layout by which it was found, in a few words.
    """

    name: str
    depth: int | None
    layout: str


@dataclasses.dataclass(frozen=True)
class _ParsedPath:
    """A path with its words and candidate folders."""

    path: str
    stem: str
    words: tuple[Token, ...]
    folders: tuple[tuple[int, str], ...]  # Folders that may be a patient's: depth and name.
    session: tuple[int, str] | None  # The outermost folder of a date, study or series.
    around: str  # The innermost folder.
    is_volume: bool

    @property
    def names(self) -> tuple[Token, ...]:
        return tuple(word for word in self.words if word.may_name_patient)


def subjects(paths: Iterable[str]) -> dict[str, Subject]:
    """Finds the subject of every image of a data set.

    Args:
        paths: The images, relative to the data set's folder, with `/` between folders. All of
            them: whether a folder is a patient's or holds all patients shows in its neighbours.

    Returns:
        The subject of each path.
    """
    found: dict[str, Subject] = {}
    rest = []
    for path in dict.fromkeys(paths):
        marked = _find_marked(path)
        if marked is None:
            rest.append(_parse(path))
        else:
            found[path] = marked
    return found | _find_in_folder(rest, 0)


def is_volume(path: str) -> bool:
    """Whether a file is a volume by its name."""
    return path.lower().endswith(VOLUMES)


def stem_of(name: str) -> str:
    """Returns a file's name without its suffix; `.nii.gz` is one, the end of a UID is none."""
    lower = name.lower()
    for suffix in sorted(VOLUMES, key=len, reverse=True):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    head, _, last = name.rpartition(".")
    return name if not head or last.isdecimal() else head


def _find_marked(path: str) -> Subject | None:
    """Finds the subject by a word for patients, the outermost of several."""
    *folders, name = PurePosixPath(path).parts
    for depth, part in enumerate((*folders, stem_of(name))):
        match = _MARKED.search(part)
        if match:
            layout = "BIDS" if match[0].lower().startswith("sub-") else "a name such as patient1"
            return Subject(match[0], depth if depth < len(folders) else None, layout)
    return None


def _parse(path: str) -> _ParsedPath:
    *folders, name = PurePosixPath(path).parts
    candidates, session, in_year = [], None, False
    for depth, part in enumerate(folders):
        in_year = path_words.is_calendar(part, in_year)
        if in_year:
            session = session or (depth, part)
        elif naming := path_words.naming_part(part):
            candidates.append((depth, naming))
        elif session is None and path_words.is_study(part):
            session = depth, part
    stem = stem_of(name)
    around = folders[-1] if folders else ""
    words = path_words.tokenize(stem)
    return _ParsedPath(path, stem, words, tuple(candidates), session, around, is_volume(path))


def _find_in_folder(views: Sequence[_ParsedPath], level: int) -> dict[str, Subject]:
    """Finds the subjects of images that share all folders up to a level."""
    inside: dict[str, list[_ParsedPath]] = defaultdict(list)
    here = []
    for view in views:
        if len(view.folders) > level:
            inside[view.folders[level][1]].append(view)
        else:
            here.append(view)
    found = _find_by_name(here)
    patients = _without_visits(_patients(inside, level))
    for name, members in inside.items():
        if name in patients:
            for view in members:
                depth = view.folders[level][0]
                found[view.path] = Subject(patients[name], depth, "a folder for each")
        else:
            found |= _find_in_folder(members, level + 1)
    return found


def _without_visits(names: set[str]) -> dict[str, str]:
    """Returns the patient of every folder; a patient with several visits has several folders."""
    shorter = {name: path_words.strip_visit(name) for name in names}
    distinct = set(shorter.values())
    are_visits = 1 < len(distinct) < len(names) <= 4 * len(distinct)
    return shorter if are_visits else {name: name for name in names}


def _patients(inside: Mapping[str, Sequence[_ParsedPath]], level: int) -> set[str]:
    """Returns the neighbouring folders that hold one patient each."""
    shapes = Counter(map(_shape, inside))
    leftovers = {name: _leftovers(name, views, level) for name, views in inside.items()}
    alike = {name: _alike(name, leftovers) for name in inside}

    def is_patient(name: str, views: Sequence[_ParsedPath]) -> bool:
        left = leftovers[name]
        counts = any(letter.isdigit() for letter in name) and not path_words.is_year(name)
        if path_words.is_machine_made(name):
            return True
        if counts and (shapes[_shape(name)] > 1 or _holds_studies(views, level)):
            return True
        if left is None:  # Files or folders inside name the patients.
            return False
        if _SHORT.fullmatch(name) or left == {""}:
            return True
        if counts and all(view.stem.startswith(name) for view in views):
            return True
        # Files as in the other folders. Two folders with `images` and `masks` may be two data sets.
        last = views[0].folders[level][0] + 2
        holds_roles = any(len(PurePosixPath(view.path).parts) > last for view in views)
        return alike[name] >= (2 if holds_roles else 1)

    return {name for name, views in inside.items() if is_patient(name, views)}


def _shape(name: str) -> str:
    """Returns a folder's name with its numbers replaced, the same for numbered neighbours."""
    return re.sub(r"\d+", "#", name).lower()


def _alike(name: str, leftovers: Mapping[str, set[str] | None]) -> int:
    """Counts the neighbours of a folder that hold a file of the same name."""
    own = leftovers[name] or set()
    return sum(bool(other and other & own) for n, other in leftovers.items() if n != name)


def _holds_studies(views: Sequence[_ParsedPath], level: int) -> bool:
    """Whether the folders within a folder are all named by a date, a study or an UID."""
    inner = {view.folders[level + 1][1] if len(view.folders) > level + 1 else "" for view in views}
    whole = {PurePosixPath(view.path).parts[view.folders[level][0] + 1] for view in views}
    return all(map(path_words.is_machine_made, inner)) or all(map(path_words.is_study, whole))


def _leftovers(name: str, views: Sequence[_ParsedPath], level: int) -> set[str] | None:
    """Returns the files' names without the folder's name; None if these may name a patient."""
    found = set()
    for view in views:
        stem = view.stem[len(name) :] if view.stem.startswith(name) else view.stem
        words = [word for word in path_words.tokenize(stem) if word.may_name_patient]
        kinds = {word.kind for word in words}
        if len(view.folders) > level + 1 or ID in kinds or (view.is_volume and NUMBER in kinds):
            return None
        found.add(path_words.join(stem, words).lower())
    return found


def _find_by_name(views: Sequence[_ParsedPath]) -> dict[str, Subject]:
    """Finds the subjects of images that lie side by side, by the names of their files."""
    collections = _collections(views)
    found: dict[str, Subject] = {}
    prefixed: dict[str, list[tuple[_ParsedPath, str]]] = defaultdict(list)
    for view in views:
        names = view.names
        counting = (i for i, word in enumerate(names) if word.has_digit)
        first = next((i for i in counting if names[i].text not in collections), None)
        head = path_words.join(view.stem, names[: len(names) if first is None else first + 1])
        if first is None:
            found[view.path] = Subject(head, None, "by name") if head else _unnamed(view)
        elif view.is_volume or names[first].kind == ID or _has_later_number(view, names[first]):
            is_slice = not view.is_volume and _has_later_number(view, names[first])
            found[view.path] = Subject(head, None, "slices by number" if is_slice else "by name")
        elif first == 0:
            is_of_session = view.session or any(
                word.kind == SESSION and word.start < names[first].start for word in view.words
            )
            found[view.path] = _unnamed(view) if is_of_session else Subject(head, None, "each")
        else:
            prefixed[path_words.join(view.stem, names[:first])].append((view, head))
    # Of one prefix all numbers may be pictures of their own; of several they are slices.
    for prefix, members in prefixed.items():
        for view, head in members:
            several = len(prefixed) > 1
            layout = "slices by number" if several else "each"
            found[view.path] = Subject(prefix if several else head, None, layout)
    return found


def _collections(views: Sequence[_ParsedPath]) -> set[str]:
    """Returns the words in all names that look like a collection with its year."""
    if len(views) < 2:
        return set()
    shared = set.intersection(*({word.text for word in view.names} for view in views))
    return {word.text for word in views[0].names if word.text in shared and word.is_year}


def _has_later_number(view: _ParsedPath, first: Token) -> bool:
    """Whether a number, of a slice or anything else, follows the first one."""
    later = [word for word in view.words if word.start > first.start]
    return any(word.has_digit or word.kind == SLICE for word in later)


def _session(view: _ParsedPath) -> tuple[int | None, str] | None:
    """Returns the session of an image by a folder or its name: depth of the folder and name."""
    words = [word for word in view.words if word.kind == SESSION]
    if view.session is not None:
        return view.session
    return (None, path_words.join(view.stem, words[:2])) if words else None


def _unnamed(view: _ParsedPath) -> Subject:
    """Returns the subject of an image without a name in its path: its session, film or folder."""
    session = _session(view)
    if session is not None:
        return Subject(session[1], session[0], "a session for each")
    return Subject(view.around, None, "one for all")
