"""Read DICOM: headers, series, conversion to NIfTI, label objects. Needs `freetumor setup --extra dicom`."""
