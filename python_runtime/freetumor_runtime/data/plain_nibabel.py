"""nibabel without pydicom, which nibabel imports to parse DICOM extensions of NIfTI headers.

No module of ours reads such extensions, and the import of pydicom takes longer than the rest of nibabel.
"""

import sys

if "nibabel" in sys.modules or "pydicom" in sys.modules:
    import nibabel
else:
    # an import of None fails, and nibabel continues without
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel
    finally:
        del sys.modules["pydicom"]

from nibabel.spatialimages import HeaderDataError

__all__ = ["HeaderDataError", "nibabel"]
