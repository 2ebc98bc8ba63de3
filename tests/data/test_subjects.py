"""Whom an image is of: a table of layouts, each the images of one data set with their subjects."""

import pytest

from samjax.data.subjects import subjects

HASH = "00ae65c1c6631ae6f2be1a449902976e6eb8483bf6b0740d00530220832c6d3e"
UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001"

# Images -> subjects, of one data set each.
LAYOUTS = [
    # A word that names a patient, wherever it stands.
    {"patient0/T1_image.nii.gz": "patient0", "patient0/T2_image.nii.gz": "patient0",
     "patient1/T1_image.nii.gz": "patient1"},
    {"patient3/000.png": "patient3", "patient3/001.png": "patient3",
     "patient4/000.png": "patient4"},
    {"images/patient_3/000.png": "patient_3", "train/images/patient_4/000.png": "patient_4"},
    {"a/b/Patient-07/2019-01-01/ct.nii.gz": "Patient-07"},
    {"case_00001/imaging.nii.gz": "case_00001", "case_00002/imaging.nii.gz": "case_00002"},
    {"training/patient001/patient001_frame01.nii.gz": "patient001",
     "training/patient001/patient001_frame12.nii.gz": "patient001"},
    {"imagesTr/patient001_frame01_0000.nii.gz": "patient001",
     "imagesTr/patient001_frame12_0000.nii.gz": "patient001"},
    {"case0005_slice000.png": "case0005", "case0005_slice001.png": "case0005"},
    {"axial/subject12_001.png": "subject12", "coronal/subject12_001.png": "subject12"},
    {"mouse7/day1/us_001.png": "mouse7", "mouse7/day2/us_001.png": "mouse7"},
    {"Pat 12/scan 1/3.png": "Pat 12", "Pat 12/scan 2/3.png": "Pat 12"},
    # BIDS.
    {"sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz": "sub-01",
     "sub-01/ses-03/anat/sub-01_ses-03_T2w.nii.gz": "sub-01",
     "derivatives/x/sub-NDAR7/anat/sub-NDAR7_T1w.nii.gz": "sub-NDAR7"},
    {"sub-01_T1w.nii.gz": "sub-01", "sub-01_T2w.nii.gz": "sub-01"},
    # Names of well-known collections.
    {"TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif": "TCGA_CS_4941"},
    {"images/TCGA-A6-6782-01A-01-BS1.jpg": "TCGA-A6-6782",
     "images/TCGA-A6-6782-01A-02-BS3.jpg": "TCGA-A6-6782"},
    {"Mass-Training_P_00001_LEFT_CC_1.png": "P_00001",
     "Calc-Test_P_00001_RIGHT_MLO.png": "P_00001"},
    {"BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1c.nii.gz": "BraTS-GLI-00000",
     "BraTS-GLI-00000-001/BraTS-GLI-00000-001-t1c.nii.gz": "BraTS-GLI-00000"},
    {"BraTS20_Training_001/BraTS20_Training_001_flair.nii.gz": "BraTS20_Training_001",
     "BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz": "BraTS20_Training_001",
     "BraTS20_Training_003/BraTS20_Training_003_t1.nii.gz": "BraTS20_Training_003"},
    {"BraTS20_Training_001.nii.gz": "BraTS20_Training_001",
     "BraTS20_Training_002.nii.gz": "BraTS20_Training_002"},
    {"BraTS20_Training_001_55.png": "BraTS20_Training_001",
     "BraTS20_Training_001_56.png": "BraTS20_Training_001"},
    {"OAS1_0001_MR1/mpr.nii.gz": "OAS1_0001", "OAS1_0001_MR2/mpr.nii.gz": "OAS1_0001",
     "OAS1_0002_MR1/mpr.nii.gz": "OAS1_0002"},
    {"A0S9V9/A0S9V9_sa_ED.nii.gz": "A0S9V9", "A0S9V9/A0S9V9_sa_ES.nii.gz": "A0S9V9",
     "B1S9V8/B1S9V8_sa.nii.gz": "B1S9V8"},
    {"volume-covid19-A-0003_day002.nii.gz": "covid19-A-0003",
     "volume-covid19-A-0003_day006.nii.gz": "covid19-A-0003",
     "volume-covid19-A-0011_day002.nii.gz": "covid19-A-0011"},
    # A folder for each patient.
    {"s0001/ct.nii.gz": "s0001", "s0003/ct.nii.gz": "s0003"},
    {"s0001/ct.nii.gz": "s0001"},
    {"STS_008/CT_image.nii.gz": "STS_008", "STS_008/PET_image.nii.gz": "STS_008",
     "STS_010/CT_image.nii.gz": "STS_010"},
    {"Anna/T1_image.nii.gz": "Anna", "Anna/T2_image.nii.gz": "Anna", "Bob/T1_image.nii.gz": "Bob"},
    {"Anna/000.png": "Anna", "Anna/001.png": "Anna", "Bob/000.png": "Bob"},
    {"患者一/ct.nii.gz": "患者一", "患者二/ct.nii.gz": "患者二"},
    {"images/A/000.png": "A", "images/A/001.png": "A", "images/B/000.png": "B"},
    {"site1/P7/ct.nii.gz": "P7", "site2/P8/ct.nii.gz": "P8"},
    {"a/b/P7/scan1/ct.nii.gz": "P7", "a/b/P7/scan2/ct.nii.gz": "P7",
     "a/b/P8/scan1/ct.nii.gz": "P8"},
    {"P1/2019-01-01/ct.nii.gz": "P1", "P1/2020-01-01/ct.nii.gz": "P1",
     "P2/20190101/ct.nii.gz": "P2"},
    {"2019-01-01/P1/ct.nii.gz": "P1", "2020-01-01/P1/ct.nii.gz": "P1"},
    {"R01-001/09-07-1994-NA-CT/1000-axial/1-01.dcm": "R01-001"},
    {f"LIDC-IDRI-0001/{UID}.1/{UID}.2/1-001.dcm": "LIDC-IDRI-0001",
     f"LIDC-IDRI-0002/{UID}.3/{UID}.4/1-001.dcm": "LIDC-IDRI-0002"},
    {"CT/1/DICOM_anon/i0001,0000b.dcm": "1", "MR/2/T1DUAL/DICOM_anon/IMG-0004-00001.dcm": "2"},
    {f"{HASH}/images/{HASH}.png": HASH},
    {"video1/frame_0001.png": "video1", "video1/frame_0002.png": "video1",
     "video2/frame_0001.png": "video2"},
    # Volumes side by side, each with a name of its own.
    {"imagesTr/hippocampus_001.nii.gz": "hippocampus_001",
     "imagesTr/hippocampus_002.nii.gz": "hippocampus_002"},
    {"imagesTr/case_0000_0000.nii.gz": "case_0000", "imagesTr/case_0000_0001.nii.gz": "case_0000",
     "imagesTr/BRATS_001_0000.nii.gz": "BRATS_001", "imagesTr/BRATS_001_0001.nii.gz": "BRATS_001"},
    {"volume-0.nii": "0", "volume-10.nii": "10"},
    {"images/患者一.nii.gz": "患者一", "images/患者二.nii.gz": "患者二"},
    {"P01_2019-01-01_ct.nii.gz": "P01", "P01_20200101_ct.nii.gz": "P01",
     "P02_20200101_ct.nii.gz": "P02"},
    {"CT-0/study_0001.nii.gz": "study_0001", "CT-1/study_0255.nii.gz": "study_0255"},
    {f"subset0/{UID}.100225287222365663678666836860.mhd": f"{UID}.100225287222365663678666836860",
     f"subset1/{UID}.100398138793540579077826395208.mhd": f"{UID}.100398138793540579077826395208"},
    # Slices by number.
    {"p1_001.png": "p1", "p1_002.png": "p1", "p2_001.png": "p2"},
    {"mri_t1/images/p1_0003.png": "p1", "mri_t1/images/p1_0004.png": "p1"},
    {"10001_458.png": "10001", "10001_459.png": "10001", "10003_1.png": "10003"},
    {"images/01_1.png": "01", "images/01_2.png": "01", "images/02_1.png": "02"},
    {"amos_0006_90.png": "amos_0006", "amos_0006_91.png": "amos_0006",
     "amos_0007_1.png": "amos_0007"},
    {"IM-0001-0001.png": "IM-0001", "IM-0001-0002.png": "IM-0001"},
    {"volume-12_slice_45.png": "12", "volume-12_slice_46.png": "12"},
    {"p1_s1_003.png": "p1", "p1_s2_003.png": "p1", "p2_s1_003.png": "p2"},
    {"smith_001.png": "smith", "smith_002.png": "smith", "jones_001.png": "jones"},
    {"1.2.840.113619.2.5.1.png": "1.2.840.113619.2.5",
     "1.2.840.113619.2.5.2.png": "1.2.840.113619.2.5"},
    {"0001TP_006690.png": "0001TP", "0001TP_006780.png": "0001TP"},
    {"Image_01L.jpg": "01", "Image_01R.jpg": "01", "Image_02L.jpg": "02"},
    {"images/1a.png": "1", "images/1b.png": "1", "images/2a.png": "2"},
    {"张三/图像0.png": "张三", "张三/图像1.png": "张三", "李四/图像0.png": "李四"},
    {"001_baseline.png": "001", "001_followup.png": "001", "002_baseline.png": "002"},
    {"2019/01/smith_1.png": "smith", "2020/02/smith_1.png": "smith",
     "2020/02/jones_1.png": "jones"},
    {"2001/T1.nii.gz": "2001", "2002/T1.nii.gz": "2002"},
    {"breast_left_1.png": "breast_1", "breast_right_1.png": "breast_1",
     "breast_left_2.png": "breast_2"},
    {"S1V1.png": "S1", "S1V2.png": "S1", "S2V1.png": "S2"},
    {"anna/bild1.png": "anna", "bob/bild1.png": "bob"},
    {"film/frame_0001.png": "film", "film/frame_0002.png": "film"},
    {"frame_0001.png": "", "frame_0002.png": ""},
    {"T1.nii.gz": "", "T2.nii.gz": ""},
    # Pictures side by side: one folder of them is not one patient.
    {"img_001.png": "001", "img_002.png": "002"},
    {"images/image_1.png": "1", "images/image_2.png": "2"},
    {"Original/1.tif": "1", "Original/2.tif": "2"},
    {"CVC-ClinicDB/Original/1.tif": "1", "CVC-ClinicDB/Original/2.tif": "2"},
    {"kits19/001.png": "001", "kits19/002.png": "002"},
    {"ISIC_0000001.jpg": "ISIC_0000001", "ISIC_0000002.jpg": "ISIC_0000002"},
    {"benign/benign (4).png": "4", "malignant/malignant (17).png": "17"},
    {"training/images/21_training.tif": "21", "test/images/01_test.tif": "01"},
    {"train_1.bmp": "1", "testA_2.bmp": "2"},
    {"g0001.jpg": "g0001", "n0002.jpg": "n0002"},
    {"images/cju0qkwl35piu0993l0dewei2.jpg": "cju0qkwl35piu0993l0dewei2"},
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: next(iter(layout)))
def test_the_subject_of_every_layout(layout):
    assert {path: one.name for path, one in subjects(layout).items()} == layout


def test_the_order_of_paths_does_not_matter():
    for layout in LAYOUTS:
        backwards = subjects(reversed(layout))
        assert {path: one.name for path, one in backwards.items()} == layout


def test_the_folder_that_names_a_patient_is_returned():
    depths = {"a/P7/ct.nii.gz": 1, "a/P8/ct.nii.gz": 1, "patient1/x.png": 0, "x_1.png": None}
    assert {path: one.depth for path, one in subjects(depths).items()} == depths
