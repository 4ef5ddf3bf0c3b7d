"""MONAI's SwinUNETR without the check that splits its compiled graph in two."""

from collections.abc import Sequence

from monai.networks.nets.swin_unetr import SwinUNETR


class SwinSegmentor(SwinUNETR):
    """Same keys and values as MONAI's network; torch.compile captures it as one graph."""

    def _check_input_size(self, spatial_shape: Sequence[int]) -> None:
        # MONAI checks by NumPy, where a graph ends
        multiple = self.patch_size**5
        if any(side % multiple for side in spatial_shape):
            raise ValueError(f"SwinUNETR: wrong sides (expected multiples of {multiple}, found {tuple(spatial_shape)})")
