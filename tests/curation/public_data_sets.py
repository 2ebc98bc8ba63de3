"""Public data sets in miniature: files as downloaded, and the expected results."""

from tests.curation.miniatures import DEPTH


def chaos():
    """Returns CT with a mask per slice, MR with two echoes and four greys, tests without labels."""
    files = {}
    for patient in (1, 2):
        ct, mr = f"Train_Sets/CT/{patient}", f"Train_Sets/MR/{patient}"
        who = {"PatientID": f"CT{patient}"}
        files[f"{ct}/DICOM_anon/"] = who
        files |= {f"{ct}/Ground/liver_GT_{z:03d}.png": [255] for z in range(DEPTH)}
        who = {"PatientID": f"MR{patient}", "Modality": "MR"}
        for sequence in ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/DICOM_anon/OutPhase"):
            files[f"{mr}/{sequence}/"] = who | {"SeriesInstanceUID": f"1.7.{patient}"}  # Of both.
        files[f"{mr}/T2SPIR/DICOM_anon/"] = who
        for sequence in ("T1DUAL", "T2SPIR"):
            files |= {
                f"{mr}/{sequence}/Ground/IMG-0004-{2 * z + 1:05d}.png": [63, 126, 189, 252]
                for z in range(DEPTH)
            }
    return files | {"Test_Sets/CT/3/DICOM_anon/": {"PatientID": "CT3"}}


def hashed(number):
    """Returns a file name like those of the Data Science Bowl."""
    return f"{number:02x}" * 32


def decathlon(name, case, channels, labels, image):
    """Returns a task of the Medical Segmentation Decathlon."""
    return {
        f"{name}/dataset.json": {
            "name": name.split("_")[1],
            "modality": dict(enumerate(channels)),
            "labels": labels,
            "numTraining": 2,
        },
        f"{name}/imagesTr/{case}_001.nii.gz": image,
        f"{name}/imagesTr/._{case}_001.nii.gz": "",
        f"{name}/labelsTr/{case}_001.nii.gz": [1, 2],
        f"{name}/imagesTr/{case}_003.nii.gz": image,
        f"{name}/labelsTr/{case}_003.nii.gz": [1, 2],
        f"{name}/labelsTr/._{case}_003.nii.gz": "",
        f"{name}/imagesTs/{case}_002.nii.gz": image,
        f"__MACOSX/{name}/._dataset.json": "",
    }


def patients(names, of_one):
    """Returns the files of patients; `{p}` is a patient's name."""
    return {
        path.replace("{p}", name): content for name in names for path, content in of_one.items()
    }


BTCV = "spleen right_kidney left_kidney gallbladder esophagus liver stomach aorta"
CUP = [255, 255, 255, 128, 0, 128, 255, 255, 255]
# Files; the expected modality and class of every mask; images; patients; what is noted.
DATA_SETS = {
    "MSD Task04": (
        decathlon("Task04_Hippocampus", "hippocampus", ["MRI"],
                  {"0": "background", "1": "Anterior", "2": "Posterior"}, None),
        {("mr_00", "Anterior"), ("mr_00", "Posterior")}, 2, 2,
        ("Task04_Hippocampus: 1 images without labels",),
    ),
    "MSD Task05": (
        decathlon("Task05_Prostate", "prostate", ["T2", "ADC"],
                  {"0": "background", "1": "PZ", "2": "TZ"}, "series"),
        {(m, c) for m in ("mr_t2", "mr_adc") for c in ("PZ", "TZ")}, 4, 2, (),
    ),
    "FLARE22": (
        {f"FLARE22Train/{path}": content for path, content in {
            "images/FLARE22_Tr_0001_0000.nii.gz": None, "labels/FLARE22_Tr_0001.nii.gz": [1, 13],
            "images/FLARE22_Tr_0002_0000.nii.gz": None, "labels/FLARE22_Tr_0002.nii.gz": [2],
        }.items()} | {"FLARE22_UnlabeledCase1-1000/FLARE22_Un_0001_0000.nii.gz": None},
        {("ct_00", "liver"), ("ct_00", "left_kidney"), ("ct_00", "right_kidney")}, 2, 2,
        ("FLARE22Train: read as FLARE", "FLARE22_UnlabeledCase1-1000: 1 images without labels"),
    ),
    "LiTS": (
        {"Training Batch 1/volume-0.nii": None, "Training Batch 1/segmentation-0.nii": [1, 2],
         "Training Batch 2/volume-28.nii": None, "Training Batch 2/segmentation-28.nii": [1, 2],
         "LICENSE.txt": "free"},
        {("ct_00", "liver"), ("ct_00", "liver_tumor")}, 2, 2, ("read as LiTS",),
    ),
    "LiTS of Kaggle": (
        {"volume_pt1/volume-0.nii": None, "volume_pt2/volume-11.nii": None,
         "segmentations/segmentation-0.nii": [1, 2], "segmentations/segmentation-11.nii": [1]},
        {("ct_00", "liver"), ("ct_00", "liver_tumor")}, 2, 2, ("read as LiTS",),
    ),
    "KiTS19": (
        patients(["case_00000", "case_00003"], {
            "kits19/data/{p}/imaging.nii.gz": None, "kits19/data/{p}/segmentation.nii.gz": [1, 2],
        }) | {"kits19/data/kits.json": "[]", "kits19/README.md": ""},
        {("ct_00", "kidney"), ("ct_00", "kidney_tumor")}, 2, 2, ("kits19/data: read as KiTS",),
    ),
    "KiTS23": (
        patients(["case_00000", "case_00003"], {
            "dataset/{p}/imaging.nii.gz": None, "dataset/{p}/segmentation.nii.gz": [1, 2, 3],
            "dataset/{p}/instances/kidney_instance-1_annotation-1.nii.gz": [1],
            "dataset/{p}/instances/kidney_instance-1_annotation-2.nii.gz": [1],
        }),
        {("ct_00", "kidney"), ("ct_00", "kidney_tumor"), ("ct_00", "kidney_cyst")}, 2, 2,
        ("dataset: 4 files that are neither image nor label",),
    ),
    "KiTS21": (
        patients(["case_00000", "case_00003"], {
            "{p}/imaging.nii.gz": None, "{p}/aggregated_MAJ_seg.nii.gz": [1, 2],
            "{p}/aggregated_AND_seg.nii.gz": [1], "{p}/aggregated_OR_seg.nii.gz": [1, 1],
            "{p}/segmentations/kidney_instance-1_annotation-1.nii.gz": [1],
        }),
        {("ct_00", "kidney"), ("ct_00", "kidney_tumor")}, 2, 2, ("read as KiTS",),
    ),
    "BraTS 2020": (
        patients(["BraTS20_Training_001", "BraTS20_Training_003"], {
            "MICCAI_BraTS2020_TrainingData/{p}/{p}_flair.nii": None,
            "MICCAI_BraTS2020_TrainingData/{p}/{p}_t1.nii": None,
            "MICCAI_BraTS2020_TrainingData/{p}/{p}_t1ce.nii": None,
            "MICCAI_BraTS2020_TrainingData/{p}/{p}_t2.nii": None,
            "MICCAI_BraTS2020_TrainingData/{p}/{p}_seg.nii": [1, 2, 4],
        }) | {
            "MICCAI_BraTS2020_TrainingData/name_mapping.csv": "",
            "MICCAI_BraTS2020_ValidationData/BraTS20_Validation_001/BraTS20_Validation_001_t1.nii":
                None,
        },
        {(m, c) for m in ("mr_flair", "mr_t1", "mr_t1ce", "mr_t2")
         for c in ("necrotic_tumor_core", "peritumoral_edema", "enhancing_tumor")}, 8, 2,
        ("MICCAI_BraTS2020_ValidationData: 1 images without labels", "read as BraTS"),
    ),
    "BraTS 2021": (
        patients(["BraTS2021_00000", "BraTS2021_00002"], {
            "{p}/{p}_flair.nii.gz": None, "{p}/{p}_t1ce.nii.gz": None,
            "{p}/{p}_seg.nii.gz": [1, 2, 4],
        }),
        {(m, c) for m in ("mr_flair", "mr_t1ce")
         for c in ("necrotic_tumor_core", "peritumoral_edema", "enhancing_tumor")}, 4, 2, (),
    ),
    "BraTS 2023": (
        patients(["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"], {
            "ASNR-MICCAI-BraTS2023/{p}/{p}-t1n.nii.gz": None,
            "ASNR-MICCAI-BraTS2023/{p}/{p}-t1c.nii.gz": None,
            "ASNR-MICCAI-BraTS2023/{p}/{p}-t2w.nii.gz": None,
            "ASNR-MICCAI-BraTS2023/{p}/{p}-t2f.nii.gz": None,
            "ASNR-MICCAI-BraTS2023/{p}/{p}-seg.nii.gz": [1, 2, 3],
        }),
        {(m, c) for m in ("mr_flair", "mr_t1", "mr_t1ce", "mr_t2")
         for c in ("necrotic_tumor_core", "peritumoral_edema", "enhancing_tumor")}, 8, 2, (),
    ),
    "TotalSegmentator": (
        patients(["s0001", "s0003"], {
            "Totalsegmentator_dataset_v201/{p}/ct.nii.gz": None,
            "Totalsegmentator_dataset_v201/{p}/segmentations/liver.nii.gz": [1],
            "Totalsegmentator_dataset_v201/{p}/segmentations/rib_left_1.nii.gz": [0, 1],
            "Totalsegmentator_dataset_v201/{p}/segmentations/rib_left_2.nii.gz": [0, 0, 1],
            "Totalsegmentator_dataset_v201/{p}/segmentations/vertebrae_L1.nii.gz": [0, 0, 0, 1],
        }) | {"Totalsegmentator_dataset_v201/meta.csv": "image_id;age"},
        {("ct_00", c) for c in ("liver", "rib_left_1", "rib_left_2", "vertebrae_L1")}, 2, 2,
        ("read as TotalSegmentator",),
    ),
    "TotalSegmentator MRI": (
        patients(["s0001", "s0003"], {
            "{p}/mri.nii.gz": None, "{p}/segmentations/liver.nii.gz": [1],
        }),
        {("mr_00", "liver")}, 2, 2, (),
    ),
    "AMOS": (
        {"amos22/dataset.json": {"name": "AMOS", "modality": {"0": "CT"},
                                 "labels": {"0": "background", "1": "spleen", "2": "right kidney"}},
         "amos22/imagesTr/amos_0001.nii.gz": None, "amos22/labelsTr/amos_0001.nii.gz": [1, 2],
         "amos22/imagesTr/amos_0507.nii.gz": None, "amos22/labelsTr/amos_0507.nii.gz": [1],
         "amos22/imagesVa/amos_0008.nii.gz": None, "amos22/labelsVa/amos_0008.nii.gz": [1],
         "amos22/imagesTs/amos_0002.nii.gz": None},
        {("ct_00", "spleen"), ("ct_00", "right kidney"), ("mr_00", "spleen")}, 3, 3,
        ("amos22: 1 images without labels",),
    ),
    "ACDC": (
        patients(["training/patient001", "training/patient002"], {
            "ACDC/database/{p}/Info.cfg": "ED: 1",
        }) | {
            f"ACDC/database/{subset}/patient{n}/patient{n}_{rest}.nii.gz": content
            for subset, n in (("training", "001"), ("training", "002"), ("testing", "101"))
            for rest, content in (("4d", "series"), ("frame01", None), ("frame01_gt", [1, 2, 3]),
                                  ("frame12", None), ("frame12_gt", [1, 2, 3]))
        } | {"ACDC/database/MANDATORY_CITATION.md": ""},
        {("mr_cine", c) for c in ("right_ventricle", "myocardium", "left_ventricle")}, 6, 3,
        ("read as ACDC", "3 files that are neither image nor label there"),
    ),
    "BTCV": (
        {"Abdomen/RawData/Training/img/img0001.nii.gz": None,
         "Abdomen/RawData/Training/label/label0001.nii.gz": [*range(1, 9)],
         "Abdomen/RawData/Training/img/img0002.nii.gz": None,
         "Abdomen/RawData/Training/label/label0002.nii.gz": [*range(1, 9)],
         "Abdomen/RawData/Testing/img/img0061.nii.gz": None},
        {("ct_00", name) for name in BTCV.split()}, 2, 2,
        ("Abdomen: 1 images without labels",),
    ),
    "CHAOS": (
        chaos(),
        {("ct_00", "liver")} | {(m, c) for m in ("mr_t1", "mr_t2")
         for c in ("liver", "right_kidney", "left_kidney", "spleen")}, 8, 2,
        ("read as CHAOS", "1 DICOM series without labels"),
    ),
    "Kvasir-SEG": (
        {"Kvasir-SEG/images/cju0qkwl35.jpg": None, "Kvasir-SEG/masks/cju0qkwl35.jpg": [255, 255],
         "Kvasir-SEG/images/cju1x5vf2a.jpg": None, "Kvasir-SEG/masks/cju1x5vf2a.jpg": [255],
         "Kvasir-SEG/kavsir_bboxes.json": {"cju0qkwl35": {"height": 529}}},
        {("endoscopy_00", "polyp")}, 2, 2, ("read as Kvasir",),
    ),
    "CVC-ClinicDB": (
        {"CVC-ClinicDB/Original/1.tif": None, "CVC-ClinicDB/Ground Truth/1.tif": [255],
         "CVC-ClinicDB/Original/600.tif": None, "CVC-ClinicDB/Ground Truth/600.tif": [255],
         "CVC-ClinicDB/README.txt": ""},
        {("endoscopy_00", "polyp")}, 2, None, ("read as CVC_ClinicDB",),
    ),
    "CVC-ClinicDB twice": (
        {f"CVC-ClinicDB/{kind}/{role}/{n}.{kind.lower()}": content for n in (1, 600)
         for kind in ("PNG", "TIF") for role, content in (("Original", None),
                                                          ("Ground Truth", [255]))},
        {("endoscopy_00", "polyp")}, 2, None, ("4 files that are neither image nor label there",),
    ),
    "ETIS": (
        {"ETIS-LaribPolypDB/1.tif": None, "Ground Truth/p1.tif": [255],
         "ETIS-LaribPolypDB/12.tif": None, "Ground Truth/p12.tif": [255]},
        {("endoscopy_00", "polyp")}, 2, None, ("read as ETIS",),
    ),
    "ISIC 2017": (
        {"ISIC-2017_Training_Data/ISIC_0000000.jpg": None,
         "ISIC-2017_Training_Data/ISIC_0000000_superpixels.png": None,
         "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv": "",
         "ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png": [255],
         "ISIC-2017_Test_v2_Data/ISIC_0012086.jpg": None,
         "ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_0012086_segmentation.png": [255]},
        {("dermoscopy_00", "skin_lesion")}, 2, 2, ("read as ISIC",),
    ),
    "ISIC 2018": (
        {"ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg": None,
         "ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt": "",
         "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png": [255],
         "ISIC2018_Task1-2_Training_Input/ISIC_0000013.jpg": None,
         "ISIC2018_Task1_Training_GroundTruth/ISIC_0000013_segmentation.png": [255],
         "ISIC2018_Task1-2_Test_Input/ISIC_0012169.jpg": None},
        {("dermoscopy_00", "skin_lesion")}, 2, 2,
        ("ISIC2018_Task1-2_Test_Input: 1 images without labels",),
    ),
    "BUSI": (
        {f"Dataset_BUSI_with_GT/{path}": content for path, content in {
            "benign/benign (1).png": None, "benign/benign (1)_mask.png": [255],
            "benign/benign (1)_mask_1.png": [0, 0, 0, 0, 0, 0, 0, 0, 255],
            "benign/benign (10).png": None, "benign/benign (10)_mask.png": [255],
            "malignant/malignant (1).png": None, "malignant/malignant (1)_mask.png": [255],
            "normal/normal (1).png": None, "normal/normal (1)_mask.png": [],
        }.items()},
        {("ultrasound_00", "benign_breast_tumor"), ("ultrasound_00", "malignant_breast_tumor")},
        3, 3, ("2 files that are neither image nor label there",),
    ),
    "GlaS": (
        {f"Warwick QU Dataset (Released 2016_07_08)/{path}": content for path, content in {
            "train_1.bmp": None, "train_1_anno.bmp": [1, 2, 3], "train_10.bmp": None,
            "train_10_anno.bmp": [1, 2], "testA_1.bmp": None, "testA_1_anno.bmp": [1],
            "Grade.csv": "name, patient ID\ntrain_1, 1",
        }.items()},
        {("histopathology_00", "gland")}, 3, None, ("read as GlaS",),
    ),
    "DSB2018": (
        {f"stage1_train/{hashed(case)}/{path}": content for case in (1, 2)
         for path, content in {
            f"images/{hashed(case)}.png": None, f"masks/{hashed(10 * case)}.png": [255],
            f"masks/{hashed(10 * case + 1)}.png": [0, 255],
        }.items()} | {f"stage1_test/{hashed(9)}/images/{hashed(9)}.png": None,
                      "stage1_train_labels.csv": ""},
        {("microscopy_00", "nucleus")}, 2, 2,
        ("read as DSB2018", "stage1_test: 1 images without labels"),
    ),
    "DRIVE": (
        {"DRIVE/training/images/21_training.tif": None,
         "DRIVE/training/1st_manual/21_manual1.gif": [255],
         "DRIVE/training/mask/21_training_mask.gif": [255, 255],
         "DRIVE/training/images/22_training.tif": None,
         "DRIVE/training/1st_manual/22_manual1.gif": [255],
         "DRIVE/test/images/01_test.tif": None, "DRIVE/test/mask/01_test_mask.gif": [255]},
        {("fundus_photography", "retinal_vessel")}, 2, 2, ("read as DRIVE",),
    ),
    "REFUGE": (
        {"REFUGE-Training400/Training400/Glaucoma/g0001.jpg": None,
         "REFUGE-Training400/Training400/Non-Glaucoma/n0001.jpg": None,
         "Annotation-Training400/Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001.bmp": CUP,
         "Annotation-Training400/Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma/n0001.bmp": CUP,
         "Annotation-Training400/Annotation-Training400/Fovea_location.xlsx": "",
         "REFUGE-Validation400/V0001.jpg": None,
         "REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp": CUP,
         "REFUGE-Test400/T0001.jpg": None},
        {("fundus_photography", "optic_cup"), ("fundus_photography", "optic_disc")}, 3, 3,
        ("REFUGE-Test400: 1 images without labels",),
    ),
    "PROMISE12": (
        {"training/Case00.mhd": None, "training/Case00_segmentation.mhd": [1],
         "training/Case01.mhd": None, "training/Case01_segmentation.mhd": [1],
         "test/Case00.mhd": None},
        {("mr_t2", "prostate")}, 2, 2, ("read as PROMISE12",),
    ),
}  # fmt: skip
