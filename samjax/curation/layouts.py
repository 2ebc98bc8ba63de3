"""Recognises public data sets as they are downloaded, and adds facts missing in their files.

Images and labels are paired by general rules, see `samjax.curation.pairing`; a layout is a built-in
description. The user's description takes precedence.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from samjax.curation.options import CurationOptions, Dataset

_MEANING = {"classes", "class_name", "kind", "background", "ignore"}
_PATTERNS = {"images", "labels", "match"}
_NIFTI = r"\.nii(?:\.gz)?"


@dataclasses.dataclass(frozen=True)
class Layout:
    """A public data set.

    Attributes:
        name: Name of the data set.
        marks: Regular expressions for paths; each has to match one within one folder, which is
            the part before the match or its group `base`.
        tables: Descriptions, with folders relative to that one.
    """

    name: str
    marks: tuple[str, ...]
    tables: tuple[Dataset, ...]

    def bases(self, paths: Sequence[str]) -> set[str]:
        """Returns the folders in which all marks are found."""
        found = []
        for mark in self.marks:
            pattern = mark if "(?P<base>" in mark else rf"(?:(?P<base>.*)/)?{mark}"
            matches = map(re.compile(pattern).fullmatch, paths)
            found.append({match["base"] or "" for match in matches if match})
        return set.intersection(*found)


def _one(name: str, marks: str | tuple[str, ...], **known: Any) -> Layout:
    marks = (marks,) if isinstance(marks, str) else marks
    return Layout(name, marks, (Dataset(name=name, **known),))


def _numbered(names: str) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), start=1)}


LAYOUTS = (
    _one(
        "ACDC",
        rf"patient\d{{3}}/patient\d{{3}}_frame\d+_gt{_NIFTI}",
        files=r"^patient\d{3}/",
        skip=rf"_4d{_NIFTI}$",
        modality="mr_cine",
        anatomy="thorax",
        classes=_numbered("right_ventricle myocardium left_ventricle"),
    ),
    Layout(
        "AMOS",
        (rf"imagesTr/amos_\d{{4}}{_NIFTI}", r"dataset\.json"),
        (  # Classes are in its `dataset.json`, and 501 to 600 are MR.
            Dataset(name="AMOS", files=r"amos_0([0-4]\d\d|500)\.", modality="ct_00"),
            Dataset(name="AMOS", files=r"amos_0(50[1-9]|5[1-9]\d|600)\.", modality="mr_00"),
        ),
    ),
    _one(
        "BraTS",  # Until 2021.
        rf"(?i:brats)[^/]*/(?i:brats)[^/]*_seg{_NIFTI}",
        files=r"(?i)^brats[^/]*/brats[^/]*_(flair|t1|t1ce|t2|seg)\.",
        anatomy="head_neck",
        classes={"necrotic_tumor_core": 1, "peritumoral_edema": 2, "enhancing_tumor": 4},
    ),
    _one(
        "BraTS",  # From 2023 on.
        rf"BraTS-[^/]*/BraTS-[^/]*-seg{_NIFTI}",
        files=r"^BraTS-[^/]*/BraTS-[^/]*-(t1n|t1c|t2w|t2f|seg)\.",
        anatomy="head_neck",
        classes={"necrotic_tumor_core": 1, "peritumoral_edema": 2, "enhancing_tumor": 3},
    ),
    _one(
        "BTCV",
        (rf"img/img\d{{4}}{_NIFTI}", rf"label/label\d{{4}}{_NIFTI}"),
        files=r"^(img/img|label/label)\d{4}\.",
        modality="ct_00",
        anatomy="abdomen",
        classes=_numbered(
            "spleen right_kidney left_kidney gallbladder esophagus liver stomach aorta "
            "inferior_vena_cava portal_and_splenic_vein pancreas right_adrenal_gland "
            "left_adrenal_gland"
        ),
    ),
    Layout(
        "BUSI",
        (r"benign/benign \(\d+\)_mask\.png", r"malignant/malignant \(\d+\)_mask\.png"),
        (
            *(
                Dataset(
                    folder=kind,
                    name="BUSI",
                    modality="ultrasound_00",
                    anatomy="thorax",
                    subject=r"((?:benign|malignant) \(\d+\))",
                    class_name=f"{kind}_breast_tumor",
                )
                for kind in ("benign", "malignant")
            ),
            Dataset(folder="normal", name="BUSI", skip="."),  # Their masks are empty.
        ),
    ),
    Layout(
        "CHAOS",
        (r"(?:CT|MR)/\d+/(?:.*/)?Ground/[^/]+\.png",),
        (
            Dataset(
                name="CHAOS",
                files=r"^CT/\d+/",
                modality="ct_00",
                anatomy="abdomen",
                kind="binary",
                class_name="liver",
            ),
            Dataset(
                name="CHAOS",
                files=r"^MR/\d+/",
                anatomy="abdomen",
                classes={"liver": 63, "right_kidney": 126, "left_kidney": 189, "spleen": 252},
            ),
        ),
    ),
    _one(
        "CVC_ClinicDB",  # One archive has all pictures twice.
        r"(?P<base>(?:.*/)?CVC[-_ ]?ClinicDB[^/]*)/PNG/Original/\d+\.png",
        skip=r"(?:^|/)TIF/",
        modality="endoscopy_00",
        class_name="polyp",
    ),
    _one(
        "CVC_ClinicDB",
        r"(?P<base>(?:.*/)?CVC[-_ ]?ClinicDB[^/]*)/Original/\d+\.[a-z]+",
        modality="endoscopy_00",
        class_name="polyp",
    ),
    _one(
        "DRIVE",
        r"(?P<base>(?:.*/)?DRIVE[^/]*)/training/images/\d+_training\.tif",
        modality="fundus_photography",
        class_name="retinal_vessel",
        images="*/images/*.tif",
        match=r"(\d+)_(?:test|training)\.tif",
        labels="*/1st_manual/{id}_manual1.gif",
    ),
    _one(
        "DSB2018",
        (r"[0-9a-f]{40,}/images/[0-9a-f]{40,}\.png", r"[0-9a-f]{40,}/masks/[0-9a-f]{40,}\.png"),
        files=r"^[0-9a-f]{40,}/",
        modality="microscopy_00",
        kind="instances",
        class_name="nucleus",
    ),
    _one(
        "ETIS",
        (r"ETIS[^/]*/\d+\.tif", r"Ground ?Truth/p\d+\.tif"),
        files=r"^(ETIS[^/]*|Ground ?Truth)/p?\d+\.tif$",
        modality="endoscopy_00",
        class_name="polyp",
        images="ETIS*/*.tif",
        labels="Ground*Truth/p{stem}.tif",
    ),
    _one(
        "ETIS",
        r"(?P<base>(?:.*/)?ETIS[^/]*)/images/\d+\.[a-z]+",
        modality="endoscopy_00",
        class_name="polyp",
    ),
    _one(
        "FLARE",
        r"images/FLARE2[2-4]_[^/]*_0000\.nii\.gz",
        files=r"^(images|labels)/FLARE2[2-4]_",
        modality="ct_00",
        anatomy="abdomen",
        classes=_numbered(
            "liver right_kidney spleen pancreas aorta inferior_vena_cava right_adrenal_gland "
            "left_adrenal_gland gallbladder esophagus stomach duodenum left_kidney tumor"
        ),
    ),
    _one(
        "GlaS",
        r"(?:train|test[AB])_\d+_anno\.bmp",
        files=r"^(train|test[AB])_\d+(_anno)?\.bmp$",
        modality="histopathology_00",
        kind="instances",
        class_name="gland",
    ),
    _one(
        "ISIC",
        r"(?P<base>(?:.*/)?[^/]*ISIC[^/]*(?:Data|Input)[^/]*)/ISIC_\d+\.jpg",
        skip=r"_superpixels\.png$",
        modality="dermoscopy_00",
        class_name="skin_lesion",
    ),
    _one(
        "KiTS",
        (
            r"case_\d{5}/imaging\.nii\.gz",
            r"case_\d{5}/(?:segmentation|aggregated_MAJ_seg)\.nii\.gz",
        ),
        files=r"^case_\d{5}/",
        skip=r"/instances/|/segmentations/|/aggregated_(?:AND|OR)_seg",
        modality="ct_00",
        anatomy="abdomen",
        classes=_numbered("kidney kidney_tumor kidney_cyst"),
    ),
    _one(
        "Kvasir",
        r"(?P<base>(?:.*/)?(?i:kvasir)[^/]*)/images/[^/]+\.(?:jpg|png)",
        modality="endoscopy_00",
        class_name="polyp",
    ),
    _one(
        "LiTS",
        rf"(?P<base>(?:.*/)?)(?:[^/]*volume[^/]*/)?volume-\d+{_NIFTI}",
        files=r"(^|/)(volume|segmentation)-\d+\.",
        modality="ct_00",
        anatomy="abdomen",
        classes=_numbered("liver liver_tumor"),
    ),
    _one(
        "PROMISE12",
        r"Case\d{2}_segmentation\.mhd",
        files=r"^Case\d{2}(_segmentation)?\.mhd$",
        modality="mr_t2",
        anatomy="pelvis",
        class_name="prostate",
    ),
    _one(
        "REFUGE",
        r"(?P<base>(?:.*/)?REFUGE[^/]*)/(?:.*/)?[gnVT]\d{4}\.jpg",
        modality="fundus_photography",
        classes={"optic_cup": 0, "optic_disc": (0, 128)},
        background=(255,),
    ),
    _one(
        "TotalSegmentator",
        (r"s\d{4}/(?:ct|mri)\.nii\.gz", r"s\d{4}/segmentations/\w+\.nii\.gz"),
        files=r"^s\d{4}/",
    ),
)


def described(
    root: Path, files: Sequence[str], options: CurationOptions
) -> tuple[CurationOptions, list[str]]:
    """Adds the descriptions of public data sets among the files to the options.

    Args:
        root: Source folder.
        files: Paths below it.
        options: Options with the user's descriptions.

    Returns:
        The options, and a line for each recognised data set.
    """
    top = root.resolve().name
    paths = [f"{top}/{path}" for path in files]
    tables, notes = [], []
    for layout in LAYOUTS:
        for base in sorted(layout.bases(paths)):
            known = [_placed(table, base, top, options) for table in layout.tables]
            here = [table for table in known if table is not None]
            taken = {table.folder for table in tables}
            if not here or any(table.folder in taken and not table.files for table in here):
                continue
            tables += here
            place = base.removeprefix(top).strip("/") or "."
            notes.append(f"{place}: read as {layout.name}: {'; '.join(_summaries(here))}")
    # Of tables for one folder the first is used; these include the user's settings.
    own = [table for table in options.datasets if table.files]
    others = [table for table in options.datasets if not table.files]
    return dataclasses.replace(options, datasets=(*own, *tables, *others)), notes


def _placed(table: Dataset, base: str, top: str, options: CurationOptions) -> Dataset | None:
    """Merges a table with the user's for its folder in the source; returns None if outside."""
    folder = PurePosixPath(base) / table.folder
    if not folder.is_relative_to(top):
        return None
    inner = folder.relative_to(top).as_posix()
    user = options.dataset_of(f"{inner}/x" if inner != "." else "x")
    names = {field.name for field in dataclasses.fields(Dataset)} - {"folder", "files"}
    stated: dict[str, Any] = {name: getattr(user, name) for name in names if getattr(user, name)}
    for group in (_MEANING, _PATTERNS):
        if stated.keys() & group:
            stated |= {name: getattr(user, name) for name in group}
    return dataclasses.replace(table, folder=inner, **stated)


def _summaries(tables: Sequence[Dataset]) -> list[str]:
    """Describes the tables of a layout in a few words each."""
    summaries = []
    for table in tables:
        classes = ", ".join(f"{name} {value}" for name, value in table.classes.items())
        words = (table.modality, classes or table.class_name or "classes as named", table.kind)
        summaries.append(", ".join(filter(None, words)))
    return list(dict.fromkeys(summaries))
