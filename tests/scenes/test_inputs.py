from __future__ import annotations

import os
from pathlib import Path

import pytest

from gensr import registry
from gensr.errors import DomainError, FormatError, PluginError
from gensr.scenes import installed
from gensr.scenes.inputs import expand, guess


class Reader:
    """Recognises files by their first letters; a folder named ``series*`` is one input."""

    def __init__(self, name: str, start: str, score: int, suffixes: tuple[str, ...] = (".x",)) -> None:
        self.name, self.start, self.score, self.suffixes = name, start, score, suffixes

    def sniff(self, path: Path) -> int:
        if path.is_dir():
            return self.score if path.name.startswith(f"series{self.start}") else 0
        return self.score if path.read_text().startswith(self.start) else 0

    def expand(self, folder: Path) -> list[Path]:
        if self.sniff(folder):
            return [folder]
        return [p for p in sorted(folder.iterdir()) if p.is_file() and self.sniff(p)]


SURE, RIVAL, LIKELY = Reader("sure", "A", 3), Reader("rival", "A", 3), Reader("likely", "A", 2, (".x", ".y"))
OTHER = Reader("other", "B", 2, (".z",))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("a.x", "c=d.x", "sub/b.x", "sub/deep/c.x", "seriesA/1", "seriesA/2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"A{name}")
    (tmp_path / "a.x.msk").write_text("A")
    for name in ("notes.txt", ".hidden.x", "[1].x"):
        (tmp_path / name).write_text("A" if name.endswith(".x") else "text")
    (tmp_path / "a_x4_generated.x").write_text("A")
    (tmp_path / "b.z").write_text("B")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*texts, domains=(SURE, OTHER), domain=None):
    expansion = expand(texts, domain, list(domains))
    return [str(i.path) for i in expansion.inputs], expansion.failed, expansion.notes


@pytest.mark.usefixtures("tree")
class TestGuess:
    def test_the_surest_reads_it(self):
        assert guess(Path("a.x"), [LIKELY, SURE, OTHER]) is SURE

    def test_a_tie_names_both_and_the_way_out(self):
        with pytest.raises(
            DomainError, match=r"a.x: sure and rival both read it; say which: domain=sure or domain=rival"
        ):
            guess(Path("a.x"), [SURE, RIVAL, OTHER])

    def test_no_such_file(self):
        with pytest.raises(FormatError, match=r"none.x: no such file"):
            guess(Path("none.x"), [SURE])

    def test_nobody_recognises_it(self):
        with pytest.raises(
            FormatError, match=r"notes.txt: no domain recognises it; domains: sure \(.x\); other \(.z\)"
        ):
            guess(Path("notes.txt"), [SURE, OTHER])

    def test_damaged_file_goes_to_the_only_owner_of_its_name(self, tree):
        (tree / "bad.z").write_text("?")
        assert guess(Path("bad.z"), [SURE, OTHER]) is OTHER

    def test_damaged_file_of_two_owners_names_both(self, tree):
        (tree / "bad.x").write_text("?")
        with pytest.raises(FormatError, match=r"bad.x: damaged, or not what its name says: sure and likely"):
            guess(Path("bad.x"), [SURE, LIKELY])

    def test_empty_file(self, tree):
        (tree / "nil.z").touch()
        with pytest.raises(FormatError, match=r"nil.z: the file is empty"):
            guess(Path("nil.z"), [SURE, OTHER])

    def test_a_library_is_missing(self, monkeypatch):
        def domain(name):
            if name == "sure":
                raise PluginError("'sure' needs the package 'xlib'; pip install xlib")
            return OTHER

        monkeypatch.setattr(registry, "names", lambda group: ["sure", "other"])
        monkeypatch.setattr(installed, "domain", domain)
        with pytest.warns(UserWarning, match="xlib"), pytest.raises(PluginError, match=r"a.x: .*pip install xlib"):
            guess(Path("a.x"))

    def test_a_pipe_is_refused_without_waiting(self, tree):
        os.mkfifo(tree / "pipe.x")
        with pytest.raises(FormatError, match=r"pipe.x: is a device or pipe"):
            guess(Path("pipe.x"), [SURE])


@pytest.mark.usefixtures("tree")
class TestExpand:
    def test_files_keep_their_order_and_come_once(self):
        assert found("b.z", "a.x", "./a.x", "c=d.x")[0] == ["b.z", "a.x", "c=d.x"]

    def test_one_bad_input_hides_nothing(self):
        paths, failed, _ = found("none.x", "a.x", "notes.txt", "http://x/y.x")
        assert paths == ["a.x"]
        assert [name for name, _ in failed] == ["none.x", "notes.txt", "http://x/y.x"]
        assert "URLs are not opened" in str(failed[2][1])

    def test_folder_without_outputs_hidden_files_and_sub_folders(self):
        paths, failed, notes = found(".")
        assert paths == ["[1].x", "a.x", "b.z", "c=d.x"]
        assert failed == []
        assert notes == [
            ".: left out 1 outputs of earlier runs (a_x4_generated.x)",
            ".: left out 1 files that no domain recognises (notes.txt)",
        ]

    def test_a_series_folder_is_one_input(self):
        assert found("seriesA")[0] == ["seriesA"]

    def test_folder_without_images(self):
        message = str(found("empty")[1][0][1])
        assert message == "empty: holds no image file; domains: sure (.x); other (.z)"
        assert "for sub-folders write 'sub/**'" in str(found("sub", domains=[OTHER])[1][0][1])

    @pytest.mark.parametrize(
        ("pattern", "paths"),
        [
            ("*.x", ["a.x", "c=d.x", "[1].x"]),
            ("?.[xz]", ["a.x", "b.z"]),
            ("[1].x", ["[1].x"]),
            ("sub/**", ["sub/b.x", "sub/deep/c.x"]),
            ("**/c.x", ["sub/deep/c.x"]),
            ("ser*", ["seriesA"]),
            ("**", ["[1].x", "a.x", "b.z", "c=d.x", "seriesA", "sub/b.x", "sub/deep/c.x"]),
        ],
    )
    def test_globs(self, pattern, paths):
        assert sorted(found(pattern)[0]) == sorted(paths)

    def test_globs_that_match_nothing(self):
        assert "no file matches" in str(found("*.nope")[1][0][1])
        assert "none of 1 matches is an image" in str(found("*.txt")[1][0][1])

    def test_an_output_that_is_named_is_taken_with_a_note(self):
        paths, _, notes = found("a_x4_generated.x")
        assert paths == ["a_x4_generated.x"]
        assert notes == ["a_x4_generated.x: looks like an output of gensr; its detail is generated already"]

    def test_a_named_domain_is_not_asked(self):
        assert found("notes.txt", domain=SURE)[0] == ["notes.txt"]
        assert found(".", domain=OTHER)[0] == ["b.z"]

    def test_a_domain_that_breaks_fails_its_input_only(self):
        class Broken(Reader):
            def sniff(self, path):
                raise ZeroDivisionError("plug-in")

        paths, failed, _ = found("a.x", "b.z", domains=[Broken("broken", "A", 1)])
        assert paths == []
        assert [type(error) for _, error in failed] == [ZeroDivisionError] * 2

    def test_impossible_names(self):
        assert [name for name, _ in found("", "a\0b")[1]] == ["", "a\0b"]


def test_what_is_called_an_image_and_is_none_is_an_input_that_fails(tmp_path):
    for name, text in (("a.x", "A"), ("b.x", "broken"), ("c.X", ""), ("notes.txt", "hello")):
        (tmp_path / name).write_text(text)
    for text in (str(tmp_path), f"{tmp_path}/*"):
        paths, failed, notes = found(text)
        assert paths == [str(tmp_path / "a.x"), str(tmp_path / "b.x")]  # whose reader says what is wrong with it
        assert [name for name, _ in failed] == [str(tmp_path / "c.X")]
        assert "the file is empty" in str(failed[0][1])
        assert notes == [f"{text}: left out 1 files that no domain recognises (notes.txt)"]
    (tmp_path / "a.x").unlink()
    (tmp_path / "c.X").unlink()
    with pytest.raises(FormatError, match=r"none of its 2 files is recognised"):
        raise found(str(tmp_path))[1][0][1]
