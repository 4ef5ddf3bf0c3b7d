from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepRequest(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class PlannedTumor(_message.Message):
    __slots__ = ("organ", "size", "box_tensor", "box_origin", "edge_sigma", "texture_index", "texture_start", "handcrafted_difference", "draw")
    ORGAN_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    BOX_TENSOR_FIELD_NUMBER: _ClassVar[int]
    BOX_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    EDGE_SIGMA_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_START_FIELD_NUMBER: _ClassVar[int]
    HANDCRAFTED_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    DRAW_FIELD_NUMBER: _ClassVar[int]
    organ: str
    size: str
    box_tensor: str
    box_origin: _containers.RepeatedScalarFieldContainer[int]
    edge_sigma: float
    texture_index: int
    texture_start: _containers.RepeatedScalarFieldContainer[int]
    handcrafted_difference: float
    draw: int
    def __init__(self, organ: _Optional[str] = ..., size: _Optional[str] = ..., box_tensor: _Optional[str] = ..., box_origin: _Optional[_Iterable[int]] = ..., edge_sigma: _Optional[float] = ..., texture_index: _Optional[int] = ..., texture_start: _Optional[_Iterable[int]] = ..., handcrafted_difference: _Optional[float] = ..., draw: _Optional[int] = ...) -> None: ...

class Augmentation(_message.Message):
    __slots__ = ("flip", "quarter_turns", "intensity_scale", "intensity_shift")
    FLIP_FIELD_NUMBER: _ClassVar[int]
    QUARTER_TURNS_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_SCALE_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_SHIFT_FIELD_NUMBER: _ClassVar[int]
    flip: _containers.RepeatedScalarFieldContainer[bool]
    quarter_turns: int
    intensity_scale: float
    intensity_shift: float
    def __init__(self, flip: _Optional[_Iterable[bool]] = ..., quarter_turns: _Optional[int] = ..., intensity_scale: _Optional[float] = ..., intensity_shift: _Optional[float] = ...) -> None: ...

class Mixing(_message.Message):
    __slots__ = ("partner", "axis", "length")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    partner: int
    axis: int
    length: int
    def __init__(self, partner: _Optional[int] = ..., axis: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Crop(_message.Message):
    __slots__ = ("item", "crop", "case_id", "image_tensor", "label_tensor", "augmentation", "tumors", "mixing", "no_room")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_TENSOR_FIELD_NUMBER: _ClassVar[int]
    LABEL_TENSOR_FIELD_NUMBER: _ClassVar[int]
    AUGMENTATION_FIELD_NUMBER: _ClassVar[int]
    TUMORS_FIELD_NUMBER: _ClassVar[int]
    MIXING_FIELD_NUMBER: _ClassVar[int]
    NO_ROOM_FIELD_NUMBER: _ClassVar[int]
    item: int
    crop: int
    case_id: str
    image_tensor: str
    label_tensor: str
    augmentation: Augmentation
    tumors: _containers.RepeatedCompositeFieldContainer[PlannedTumor]
    mixing: Mixing
    no_room: bool
    def __init__(self, item: _Optional[int] = ..., crop: _Optional[int] = ..., case_id: _Optional[str] = ..., image_tensor: _Optional[str] = ..., label_tensor: _Optional[str] = ..., augmentation: _Optional[_Union[Augmentation, _Mapping]] = ..., tumors: _Optional[_Iterable[_Union[PlannedTumor, _Mapping]]] = ..., mixing: _Optional[_Union[Mixing, _Mapping]] = ..., no_room: bool = ...) -> None: ...

class StepCrops(_message.Message):
    __slots__ = ("step", "crops")
    STEP_FIELD_NUMBER: _ClassVar[int]
    CROPS_FIELD_NUMBER: _ClassVar[int]
    step: int
    crops: _containers.RepeatedCompositeFieldContainer[Crop]
    def __init__(self, step: _Optional[int] = ..., crops: _Optional[_Iterable[_Union[Crop, _Mapping]]] = ...) -> None: ...

class CropMeasures(_message.Message):
    __slots__ = ("item", "crop", "draw", "synthetic_voxels", "seen_voxels", "contrast", "already_seen_voxels", "more")
    class MoreEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    DRAW_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_VOXELS_FIELD_NUMBER: _ClassVar[int]
    SEEN_VOXELS_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    ALREADY_SEEN_VOXELS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    item: int
    crop: int
    draw: int
    synthetic_voxels: int
    seen_voxels: int
    contrast: float
    already_seen_voxels: int
    more: _containers.ScalarMap[str, float]
    def __init__(self, item: _Optional[int] = ..., crop: _Optional[int] = ..., draw: _Optional[int] = ..., synthetic_voxels: _Optional[int] = ..., seen_voxels: _Optional[int] = ..., contrast: _Optional[float] = ..., already_seen_voxels: _Optional[int] = ..., more: _Optional[_Mapping[str, float]] = ...) -> None: ...

class StepMeasures(_message.Message):
    __slots__ = ("step", "crops", "wants_verdicts")
    STEP_FIELD_NUMBER: _ClassVar[int]
    CROPS_FIELD_NUMBER: _ClassVar[int]
    WANTS_VERDICTS_FIELD_NUMBER: _ClassVar[int]
    step: int
    crops: _containers.RepeatedCompositeFieldContainer[CropMeasures]
    wants_verdicts: bool
    def __init__(self, step: _Optional[int] = ..., crops: _Optional[_Iterable[_Union[CropMeasures, _Mapping]]] = ..., wants_verdicts: bool = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("item", "crop", "accepted", "reason", "next_draw")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NEXT_DRAW_FIELD_NUMBER: _ClassVar[int]
    item: int
    crop: int
    accepted: bool
    reason: str
    next_draw: int
    def __init__(self, item: _Optional[int] = ..., crop: _Optional[int] = ..., accepted: bool = ..., reason: _Optional[str] = ..., next_draw: _Optional[int] = ...) -> None: ...

class StepVerdicts(_message.Message):
    __slots__ = ("step", "verdicts")
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    step: int
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    def __init__(self, step: _Optional[int] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ...) -> None: ...

class StepAck(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class VariantRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VariantRound(_message.Message):
    __slots__ = ("finished", "case_id", "variant", "subvolume_start", "subvolume_shape", "accepted", "attempts", "kept_rejected")
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    SUBVOLUME_START_FIELD_NUMBER: _ClassVar[int]
    SUBVOLUME_SHAPE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    KEPT_REJECTED_FIELD_NUMBER: _ClassVar[int]
    finished: bool
    case_id: str
    variant: int
    subvolume_start: _containers.RepeatedScalarFieldContainer[int]
    subvolume_shape: _containers.RepeatedScalarFieldContainer[int]
    accepted: _containers.RepeatedScalarFieldContainer[int]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    kept_rejected: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, finished: bool = ..., case_id: _Optional[str] = ..., variant: _Optional[int] = ..., subvolume_start: _Optional[_Iterable[int]] = ..., subvolume_shape: _Optional[_Iterable[int]] = ..., accepted: _Optional[_Iterable[int]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., kept_rejected: _Optional[_Iterable[int]] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("tumor", "attempt", "plan", "source")
    TUMOR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tumor: int
    attempt: int
    plan: PlannedTumor
    source: ShrunkSource
    def __init__(self, tumor: _Optional[int] = ..., attempt: _Optional[int] = ..., plan: _Optional[_Union[PlannedTumor, _Mapping]] = ..., source: _Optional[_Union[ShrunkSource, _Mapping]] = ...) -> None: ...

class ShrunkSource(_message.Message):
    __slots__ = ("voxel", "centroid", "centre", "factor")
    VOXEL_FIELD_NUMBER: _ClassVar[int]
    CENTROID_FIELD_NUMBER: _ClassVar[int]
    CENTRE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    voxel: _containers.RepeatedScalarFieldContainer[int]
    centroid: _containers.RepeatedScalarFieldContainer[float]
    centre: _containers.RepeatedScalarFieldContainer[int]
    factor: float
    def __init__(self, voxel: _Optional[_Iterable[int]] = ..., centroid: _Optional[_Iterable[float]] = ..., centre: _Optional[_Iterable[int]] = ..., factor: _Optional[float] = ...) -> None: ...

class RoundMeasures(_message.Message):
    __slots__ = ("attempts",)
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptMeasures]
    def __init__(self, attempts: _Optional[_Iterable[_Union[AttemptMeasures, _Mapping]]] = ...) -> None: ...

class AttemptMeasures(_message.Message):
    __slots__ = ("tumor", "synthetic_voxels", "seen_voxels", "already_seen_voxels", "contrast", "more")
    class MoreEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TUMOR_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_VOXELS_FIELD_NUMBER: _ClassVar[int]
    SEEN_VOXELS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_SEEN_VOXELS_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    tumor: int
    synthetic_voxels: int
    seen_voxels: int
    already_seen_voxels: int
    contrast: float
    more: _containers.ScalarMap[str, float]
    def __init__(self, tumor: _Optional[int] = ..., synthetic_voxels: _Optional[int] = ..., seen_voxels: _Optional[int] = ..., already_seen_voxels: _Optional[int] = ..., contrast: _Optional[float] = ..., more: _Optional[_Mapping[str, float]] = ...) -> None: ...

class VariantWritten(_message.Message):
    __slots__ = ("case_id", "variant", "json")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    variant: int
    json: str
    def __init__(self, case_id: _Optional[str] = ..., variant: _Optional[int] = ..., json: _Optional[str] = ...) -> None: ...

class CaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CaseOrder(_message.Message):
    __slots__ = ("finished", "case_id")
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    finished: bool
    case_id: str
    def __init__(self, finished: bool = ..., case_id: _Optional[str] = ...) -> None: ...

class CaseProgress(_message.Message):
    __slots__ = ("case_id", "done", "total")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    done: int
    total: int
    def __init__(self, case_id: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class CaseDone(_message.Message):
    __slots__ = ("case_id", "json")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    json: str
    def __init__(self, case_id: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...
