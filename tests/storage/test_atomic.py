"""What killed saves leave beside their files is found by its name."""

from __future__ import annotations

from circuit_distillation.storage.atomic import remove_leftovers


def test_leftovers_of_killed_saves_are_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("t.json", ".t.json.lock", ".other.json.abc", ".t.jsonx")]
    left = [tmp_path / ".t.json.abc.json", tmp_path / ".t.json.123"]
    for path in (*kept, *left):
        path.write_text("")
    (tmp_path / ".t.json.dir").mkdir()
    removed = remove_leftovers([tmp_path / "t.json", tmp_path / "absent" / "t.json"])
    assert sorted(removed) == sorted([*left, tmp_path / ".t.json.dir"])
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_seal_of_a_file_named_as_a_folder_stays(tmp_path):
    (tmp_path / "small").mkdir()
    for name in ("small.json", ".small.json.sha256", ".small.gone.sha256"):
        (tmp_path / name).write_text("")
    assert remove_leftovers([tmp_path / "small"]) == [tmp_path / ".small.gone.sha256"]
    assert (tmp_path / ".small.json.sha256").exists()
