"""Write a synthetic scan again with nibabel, SimpleITK and dcm2niix, to see what is left of its marks.

    python scripts/faults/resaved_marks.py SCAN.nii.gz OUT

Prints the name of each written file. SimpleITK and dcm2niix are used if this Python has them.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

scan, out = Path(sys.argv[1]), Path(sys.argv[2])


def by_nibabel() -> None:
    image = nibabel.load(scan)
    nibabel.save(image, out / "nibabel, loaded and saved.nii.gz")
    data = np.asanyarray(image.dataobj)
    nibabel.save(
        nibabel.Nifti1Image(data, image.affine, image.header), out / "nibabel, new image with the header.nii.gz"
    )
    nibabel.save(nibabel.Nifti1Image(data, image.affine), out / "nibabel, new image without the header.nii.gz")
    nibabel.save(nibabel.Nifti2Image(data, image.affine, image.header), out / "nibabel, as NIfTI-2.nii.gz")
    floating = nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine, image.header)
    floating.set_data_dtype(np.float32)
    nibabel.save(floating, out / "nibabel, as float32.nii.gz")


def by_simpleitk() -> None:
    import SimpleITK

    image = SimpleITK.ReadImage(str(scan))
    SimpleITK.WriteImage(image, str(out / "SimpleITK, read and written.nii.gz"))
    copy = SimpleITK.GetImageFromArray(SimpleITK.GetArrayFromImage(image))
    copy.CopyInformation(image)
    SimpleITK.WriteImage(copy, str(out / "SimpleITK, new image.nii.gz"))
    slices = out / "dicom"
    slices.mkdir()
    stem = "1.2.826.0.1.3680043.8.498.7"
    for z in range(image.GetDepth()):
        plane = SimpleITK.Cast(image[:, :, z], SimpleITK.sitkInt16)
        position = image.TransformIndexToPhysicalPoint((0, 0, z))
        direction = image.GetDirection()
        facts = {
            "0008|0020": "20260101",
            "0008|0021": "20260101",
            "0008|0030": "120000",
            "0008|0031": "120000",
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{stem}.1.{z + 1}",
            "0020|000d": f"{stem}.2",
            "0020|000e": f"{stem}.3",
            "0020|0013": str(z + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(str(direction[at]) for at in (0, 3, 6, 1, 4, 7)),
            "0018|0050": str(image.GetSpacing()[2]),
        }
        for tag, value in facts.items():
            plane.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(slices / f"{z:04}.dcm"))
        writer.Execute(plane)


def by_dcm2niix(program: str) -> None:
    name = "DICOM by SimpleITK, back by dcm2niix"
    subprocess.run(
        [program, "-z", "y", "-b", "n", "-f", name, "-o", str(out), str(out / "dicom")], check=True, capture_output=True
    )


by_nibabel()
if importlib.util.find_spec("SimpleITK"):
    by_simpleitk()
    if importlib.util.find_spec("dcm2niix"):
        import dcm2niix

        by_dcm2niix(dcm2niix.bin)
for path in sorted(out.glob("*.nii.gz")):
    print(path.name)
