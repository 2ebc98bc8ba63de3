"""Writes small DICOM files."""

import numpy as np

from samjax import extra

pydicom = extra.require("pydicom", "data")


def base(uid, modality="CT"):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.SeriesInstanceUID, data.FrameOfReferenceUID = uid, uid + ".1"
    data.StudyInstanceUID, data.PatientID, data.PatientName = uid + ".2", "P7", "Doe^J"
    data.StudyID, data.StudyDate, data.StudyTime, data.AccessionNumber = "1", "20200101", "", ""
    data.PatientBirthDate, data.PatientSex, data.ReferringPhysicianName = "", "", ""
    data.Modality = modality
    return data


def with_pixels(data, pixels):
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels.astype(np.int16).tobytes()
    return data


def write_series(folder, image, uid="1.2.3", order=None, **changes):
    """Writes (x, y, z) as files whose names do not follow the order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for z in range(image.shape[2]):
        data = with_pixels(base(uid), image[:, :, z].T)
        data.ImagePositionPatient = [10, 20, 3 * z - 7]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness, data.InstanceNumber = [0.5, 2], 3, z + 1
        data.RescaleSlope, data.RescaleIntercept = 2, -1000
        for name, value in changes.items():
            setattr(data, name, value)
        path = folder / f"{(7 * z + 3) % 100:02d}.dcm"
        data.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def write_structures(path, outlines, uid="1.2.3", name="GTV"):
    data = base("9.9.9", "RTSTRUCT")
    series = pydicom.Dataset()
    series.SeriesInstanceUID = uid
    study = pydicom.Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame = pydicom.Dataset()
    frame.FrameOfReferenceUID = uid + ".1"
    frame.RTReferencedStudySequence = [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    region = pydicom.Dataset()
    region.ROINumber, region.ROIName = 4, name
    data.StructureSetROISequence = [region]
    drawn = pydicom.Dataset()
    drawn.ReferencedROINumber = 4
    drawn.ContourSequence = []
    for outline in outlines:
        contour = pydicom.Dataset()
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = len(outline)
        contour.ContourData = [float(x) for x in np.ravel(outline)]
        drawn.ContourSequence.append(contour)
    data.ROIContourSequence = [drawn]
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_segmentation(path, files, mask, kind="BINARY"):
    """Writes (frame, row, column) as the segment `liver` of files."""
    highdicom = extra.require("highdicom", "test")
    codes = extra.require("pydicom.sr.codedict", "data").codes
    manual = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    segmentation = highdicom.seg.Segmentation(
        [pydicom.dcmread(file) for file in files],
        mask,
        highdicom.seg.SegmentationTypeValues[kind],
        [highdicom.seg.SegmentDescription(1, "liver", codes.SCT.Organ, codes.SCT.Liver, manual)],
        pydicom.uid.generate_uid(),
        1,
        pydicom.uid.generate_uid(),
        1,
        "maker",
        "model",
        "1",
        "7",
    )
    segmentation.save_as(path)


def write_film_segmentation(path, film, mask):
    """Writes frames (row, column) of a film as the segment `liver`, the last first."""
    data = with_pixels(base("8.8.8", "SEG"), mask[0])
    series, data.SegmentationType = pydicom.Dataset(), "BINARY"
    series.SeriesInstanceUID = film.SeriesInstanceUID
    image = pydicom.Dataset()
    image.ReferencedSOPInstanceUID = film.SOPInstanceUID
    series.ReferencedInstanceSequence = [image]
    data.ReferencedSeriesSequence = [series]
    segment = pydicom.Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 3, "liver"
    data.SegmentSequence = [segment]
    used = [number for number in reversed(range(len(mask))) if mask[number].any()]
    groups = []
    for number in used:
        source, derived, named, group = (pydicom.Dataset() for _ in range(4))
        source.ReferencedSOPInstanceUID = film.SOPInstanceUID
        source.ReferencedFrameNumber = number + 1
        derived.SourceImageSequence = [source]
        named.ReferencedSegmentNumber = 3
        group.DerivationImageSequence = [derived]
        group.SegmentIdentificationSequence = [named]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.NumberOfFrames = len(used)
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit, data.PixelRepresentation = 0, 0
    data.PixelData = pydicom.pixels.pack_bits(mask[used].astype(np.uint8))
    data.save_as(path, enforce_file_format=True)


def write_film(path, frames, uid="1.2.3", modality="US"):
    """Writes (frame, row, column[, channel]) uint8 as one file without position."""
    data = with_pixels(base(uid, modality), frames[0])
    del data.FrameOfReferenceUID
    kind = "3.1" if len(frames) > 1 else "6.1"  # Ultrasound, in several frames or in one.
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{kind}"
    if len(frames) > 1:
        data.NumberOfFrames = len(frames)
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    if frames.ndim == 4:
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.PhotometricInterpretation = "RGB"
    data.PixelSpacing = [0.25, 0.5]
    data.PixelData = frames.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def square(z, low, high):
    """Returns a square around pixels low..high - 1 along x and y, mm."""
    x0, x1 = (10 + 2 * (edge - 0.5) for edge in (low, high))
    y0, y1 = (20 + 0.5 * (edge - 0.5) for edge in (low, high))
    height = 3 * z - 7
    return [(x0, y0, height), (x1, y0, height), (x1, y1, height), (x0, y1, height)]


def nested(**fields):
    """Returns a sequence of one item."""
    item = pydicom.Dataset()
    for name, value in fields.items():
        setattr(item, name, value)
    return [item]
