from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2 as _feed_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Call(_message.Message):
    __slots__ = ("id", "image_tensor", "label_tensor", "affine", "segment", "synthesize")
    ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_TENSOR_FIELD_NUMBER: _ClassVar[int]
    LABEL_TENSOR_FIELD_NUMBER: _ClassVar[int]
    AFFINE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIZE_FIELD_NUMBER: _ClassVar[int]
    id: int
    image_tensor: str
    label_tensor: str
    affine: _containers.RepeatedScalarFieldContainer[float]
    segment: SegmentWork
    synthesize: SynthesizeWork
    def __init__(self, id: _Optional[int] = ..., image_tensor: _Optional[str] = ..., label_tensor: _Optional[str] = ..., affine: _Optional[_Iterable[float]] = ..., segment: _Optional[_Union[SegmentWork, _Mapping]] = ..., synthesize: _Optional[_Union[SynthesizeWork, _Mapping]] = ...) -> None: ...

class SegmentWork(_message.Message):
    __slots__ = ("logits",)
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    logits: bool
    def __init__(self, logits: bool = ...) -> None: ...

class SynthesizeWork(_message.Message):
    __slots__ = ("tumors", "windowed")
    TUMORS_FIELD_NUMBER: _ClassVar[int]
    WINDOWED_FIELD_NUMBER: _ClassVar[int]
    tumors: _containers.RepeatedCompositeFieldContainer[_feed_pb2.PlannedTumor]
    windowed: bool
    def __init__(self, tumors: _Optional[_Iterable[_Union[_feed_pb2.PlannedTumor, _Mapping]]] = ..., windowed: bool = ...) -> None: ...

class CallResult(_message.Message):
    __slots__ = ("id", "network_seconds", "measures", "refusal")
    ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: int
    network_seconds: float
    measures: _containers.RepeatedCompositeFieldContainer[_feed_pb2.AttemptMeasures]
    refusal: CallRefusal
    def __init__(self, id: _Optional[int] = ..., network_seconds: _Optional[float] = ..., measures: _Optional[_Iterable[_Union[_feed_pb2.AttemptMeasures, _Mapping]]] = ..., refusal: _Optional[_Union[CallRefusal, _Mapping]] = ...) -> None: ...

class CallRefusal(_message.Message):
    __slots__ = ("kind", "message", "hint")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    hint: str
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...
