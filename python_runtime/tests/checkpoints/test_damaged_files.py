"""One changed bit never kills the process that reads, and with a recorded hash it never passes."""

from tests.checkpoints.damaged_files import ALTERED, REFUSED, WHOLE, good_file, outcomes_of_flips, write_manifest

# scripts/faults/checkpoint_files.py does 2,000
FLIPS = 200
FEWER_FLIPS = 50


def test_a_bit_of_a_file_with_a_recorded_hash_is_always_found(tmp_path):
    path = good_file(tmp_path)
    write_manifest(path)
    assert outcomes_of_flips(path, FLIPS, seed=1, verify=True) == {REFUSED: FLIPS}


def test_without_a_recorded_hash_the_checksums_of_the_archive_find_what_changed_a_weight(tmp_path):
    outcomes = outcomes_of_flips(good_file(tmp_path), FEWER_FLIPS, seed=2, verify=True)
    assert set(outcomes) <= {REFUSED, WHOLE}
    assert outcomes[REFUSED] > FEWER_FLIPS // 2


def test_an_unverified_file_may_be_altered_but_does_not_crash_the_reader(tmp_path):
    outcomes = outcomes_of_flips(good_file(tmp_path), FEWER_FLIPS, seed=3, verify=False)
    assert set(outcomes) <= {REFUSED, WHOLE, ALTERED}
    assert outcomes[ALTERED] > 0
