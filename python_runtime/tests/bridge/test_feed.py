"""A rank pulls steps from a feeder: answers in any order, no more than it asked for, not from one that is gone."""

import itertools

import pytest
import torch

from freetumor_runtime.bridge import feed
from freetumor_runtime.bridge.feed import FeedClient
from freetumor_runtime.bridge.frames import MAX_FRAME_BYTES, ProtocolError
from freetumor_runtime.errors import EnvironmentError, Stopped, UsageError
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2
from tests.bridge.feeder import Feeder, crops_of, verdicts_of


@pytest.fixture
def connect(tmp_path):
    """Starts a feeder that answers by a function, and a rank that talks to it."""
    opened = []
    numbers = itertools.count()

    def start(answer):
        address = f"ipc://{tmp_path}/feed-{next(numbers)}.sock"
        feeder = Feeder(address, answer)
        client = FeedClient(address, 1, "secret")
        opened.extend([client, feeder])
        return client, feeder

    yield start
    for one in opened:
        one.close()


def by_kind(**answers):
    return lambda body: answers.get(type(body).__name__, lambda _: None)(body)


def at_once(body):
    return [crops_of(body.step, value=int(body.step) + 5)]


def test_a_requested_step_comes_with_its_tensors(connect):
    client, _ = connect(by_kind(StepRequest=at_once))
    client.request(3)
    message, tensors = client.crops(3)
    assert message.step == 3 and message.crops[0].case_id == "case"
    assert tensors["image"].unique().tolist() == [8] and tensors["label"].shape == (2, 2, 2)


def test_answers_in_another_order_are_kept_until_they_are_asked_for(connect):
    held = []

    def backwards(body):
        held.append(body.step)
        return [crops_of(step, value=step) for step in reversed(held)] if len(held) == 3 else None

    client, _ = connect(by_kind(StepRequest=backwards))
    for step in (0, 1, 2):
        client.request(step)
    assert [client.crops(step)[1]["image"][0, 0, 0].item() for step in (1, 0, 2)] == [1, 0, 2]


def test_a_step_that_is_requested_again_is_sent_once_until_it_is_acknowledged(connect):
    client, feeder = connect(by_kind(StepRequest=at_once, StepMeasures=lambda body: [verdicts_of(body.step)]))
    for _ in range(3):
        client.request(0)
    client.crops(0)
    client.request(0)
    client.ack(0)
    client.request(0)
    client.crops(0)
    assert [type(body).__name__ for body in feeder.heard] == ["StepRequest", "StepAck", "StepRequest"]


def test_measures_bring_verdicts_where_they_are_wanted(connect):
    client, feeder = connect(
        by_kind(StepMeasures=lambda body: [verdicts_of(body.step)] if body.wants_verdicts else None)
    )
    client.send_measures(feed_pb2.StepMeasures(step=4, crops=[feed_pb2.CropMeasures(item=4, seen_voxels=7)]))
    client.send_measures(feed_pb2.StepMeasures(step=5, wants_verdicts=True))
    assert [verdict.accepted for verdict in client.verdicts(5).verdicts] == [True]
    assert feeder.heard[0].crops[0].seen_voxels == 7
    with pytest.raises(UsageError, match="verdicts of step 4 were not requested"):
        client.verdicts(4)


def test_a_step_that_was_not_requested_or_was_taken_is_no_use_waiting_for(connect):
    client, _ = connect(by_kind(StepRequest=at_once))
    with pytest.raises(UsageError, match="step 0 were not requested"):
        client.crops(0)
    client.request(0)
    client.crops(0)
    with pytest.raises(UsageError, match="read before"):
        client.crops(0)


def test_no_more_than_eight_steps_are_open(connect):
    client, _ = connect(by_kind())
    for step in range(8):
        client.request(step)
    with pytest.raises(UsageError, match="step 8 cannot be requested: 8 steps are open"):
        client.request(8)
    client.ack(0)
    client.request(8)


def test_a_message_that_was_lost_on_the_way_is_noticed(connect):
    def skips(body):
        feeder.sequence += 1
        return at_once(body)

    client, feeder = connect(by_kind(StepRequest=skips))
    client.request(0)
    with pytest.raises(ProtocolError, match=r"lost message of the feeder \(expected message 0, found 1\)"):
        client.crops(0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: [crops_of(9)], "StepCrops of step 9 was not requested"),
        (lambda _: [crops_of(0), crops_of(0)], "StepCrops of step 0 was not requested"),
        (lambda _: [verdicts_of(0)], "StepVerdicts of step 0 was not requested"),
        (lambda _: [(feed_pb2.StepAck(step=0), {})], "expected StepCrops or StepVerdicts, found .*StepAck"),
    ],
)
def test_what_was_not_asked_for_is_refused(connect, answer, reason):
    client, _ = connect(by_kind(StepRequest=answer))
    client.request(0)
    client.request(1)
    with pytest.raises(ProtocolError, match=reason):
        client.crops(1)


def test_a_frame_above_the_limit_ends_the_connection_before_it_is_taken(connect, monkeypatch):
    # the feeder breaks the rule that the client keeps
    monkeypatch.setattr("freetumor_runtime.bridge.frames.MAX_FRAME_BYTES", 4 * MAX_FRAME_BYTES)
    client, _ = connect(by_kind(StepRequest=lambda body: [(feed_pb2.StepCrops(step=0), too_long())]))
    client.request(0)
    with pytest.raises(Stopped):
        client.crops(0)


def too_long():
    return {"image": torch.zeros(2 * MAX_FRAME_BYTES, dtype=torch.uint8)}


def test_a_feeder_that_ends_while_it_is_waited_for_is_noticed_and_what_came_before_counts(connect):
    client, feeder = connect(by_kind(StepRequest=lambda body: at_once(body) if body.step == 0 else None))
    client.request(0)
    client.request(1)
    client.crops(0)
    feeder.close()
    with pytest.raises(Stopped, match="the process that feeds this rank is gone"):
        client.crops(1)


def test_an_address_without_a_feeder_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "_CONNECT_SECONDS", 0.05)
    with pytest.raises(EnvironmentError, match="no feeder answers at ipc://"):
        FeedClient(f"ipc://{tmp_path}/nobody.sock", 0, "secret")
