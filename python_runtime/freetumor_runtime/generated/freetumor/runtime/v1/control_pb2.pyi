from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttachRequest(_message.Message):
    __slots__ = ("hello", "event", "ack", "heartbeat")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    event: JobEvent
    ack: CommandAck
    heartbeat: Heartbeat
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., event: _Optional[_Union[JobEvent, _Mapping]] = ..., ack: _Optional[_Union[CommandAck, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("welcome", "command")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    command: Command
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., command: _Optional[_Union[Command, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "token", "run_id", "world_size", "device", "python", "torch", "monai", "ranks")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    TORCH_FIELD_NUMBER: _ClassVar[int]
    MONAI_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    token: str
    run_id: str
    world_size: int
    device: str
    python: str
    torch: str
    monai: str
    ranks: _containers.RepeatedCompositeFieldContainer[RankProcess]
    def __init__(self, protocol: _Optional[int] = ..., token: _Optional[str] = ..., run_id: _Optional[str] = ..., world_size: _Optional[int] = ..., device: _Optional[str] = ..., python: _Optional[str] = ..., torch: _Optional[str] = ..., monai: _Optional[str] = ..., ranks: _Optional[_Iterable[_Union[RankProcess, _Mapping]]] = ...) -> None: ...

class RankProcess(_message.Message):
    __slots__ = ("rank", "pid", "host")
    RANK_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    rank: int
    pid: int
    host: str
    def __init__(self, rank: _Optional[int] = ..., pid: _Optional[int] = ..., host: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol",)
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    def __init__(self, protocol: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("ready", "step_done", "case_result", "validation_done", "checkpoint_saved", "finished", "failed", "note")
    READY_FIELD_NUMBER: _ClassVar[int]
    STEP_DONE_FIELD_NUMBER: _ClassVar[int]
    CASE_RESULT_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_DONE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SAVED_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ready: Ready
    step_done: StepDone
    case_result: CaseResult
    validation_done: ValidationDone
    checkpoint_saved: CheckpointSaved
    finished: Finished
    failed: Failed
    note: Note
    def __init__(self, ready: _Optional[_Union[Ready, _Mapping]] = ..., step_done: _Optional[_Union[StepDone, _Mapping]] = ..., case_result: _Optional[_Union[CaseResult, _Mapping]] = ..., validation_done: _Optional[_Union[ValidationDone, _Mapping]] = ..., checkpoint_saved: _Optional[_Union[CheckpointSaved, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., note: _Optional[_Union[Note, _Mapping]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("step", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    step: int
    parameters: _containers.ScalarMap[str, int]
    def __init__(self, step: _Optional[int] = ..., parameters: _Optional[_Mapping[str, int]] = ...) -> None: ...

class StepDone(_message.Message):
    __slots__ = ("step", "losses", "learning_rate", "seconds", "wait_seconds", "memory_bytes", "utilization")
    class LossesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    step: int
    losses: _containers.ScalarMap[str, float]
    learning_rate: float
    seconds: float
    wait_seconds: float
    memory_bytes: int
    utilization: float
    def __init__(self, step: _Optional[int] = ..., losses: _Optional[_Mapping[str, float]] = ..., learning_rate: _Optional[float] = ..., seconds: _Optional[float] = ..., wait_seconds: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., utilization: _Optional[float] = ...) -> None: ...

class CaseResult(_message.Message):
    __slots__ = ("case_id", "json")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    json: str
    def __init__(self, case_id: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...

class ValidationDone(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class CheckpointSaved(_message.Message):
    __slots__ = ("step", "directory", "reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    step: int
    directory: str
    reason: str
    def __init__(self, step: _Optional[int] = ..., directory: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("step", "outcome", "reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    step: int
    outcome: str
    reason: str
    def __init__(self, step: _Optional[int] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("rank", "kind", "message", "hint", "traceback")
    RANK_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    rank: int
    kind: str
    message: str
    hint: str
    traceback: str
    def __init__(self, rank: _Optional[int] = ..., kind: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class Note(_message.Message):
    __slots__ = ("level", "text")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    level: str
    text: str
    def __init__(self, level: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("id", "set_learning_rate", "pause", "unpause", "save_checkpoint", "stop", "validation_verdict", "cancel_call")
    ID_FIELD_NUMBER: _ClassVar[int]
    SET_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    UNPAUSE_FIELD_NUMBER: _ClassVar[int]
    SAVE_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_VERDICT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_CALL_FIELD_NUMBER: _ClassVar[int]
    id: int
    set_learning_rate: SetLearningRate
    pause: Pause
    unpause: Unpause
    save_checkpoint: SaveCheckpoint
    stop: Stop
    validation_verdict: ValidationVerdict
    cancel_call: CancelCall
    def __init__(self, id: _Optional[int] = ..., set_learning_rate: _Optional[_Union[SetLearningRate, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., unpause: _Optional[_Union[Unpause, _Mapping]] = ..., save_checkpoint: _Optional[_Union[SaveCheckpoint, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., validation_verdict: _Optional[_Union[ValidationVerdict, _Mapping]] = ..., cancel_call: _Optional[_Union[CancelCall, _Mapping]] = ...) -> None: ...

class SetLearningRate(_message.Message):
    __slots__ = ("learning_rate",)
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    def __init__(self, learning_rate: _Optional[float] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Unpause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SaveCheckpoint(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Stop(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class ValidationVerdict(_message.Message):
    __slots__ = ("measures", "end_reason")
    class MeasuresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    measures: _containers.ScalarMap[str, float]
    end_reason: str
    def __init__(self, measures: _Optional[_Mapping[str, float]] = ..., end_reason: _Optional[str] = ...) -> None: ...

class CancelCall(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class CommandAck(_message.Message):
    __slots__ = ("id", "step", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    step: int
    error: str
    def __init__(self, id: _Optional[int] = ..., step: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...
