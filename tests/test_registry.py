"""Plugins: a broken or doubled one is named and never takes the others down."""

import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from gensr import registry
from gensr.errors import PluginError
from gensr.priors import families
from gensr.scenes import installed
from gensr.scenes.domain import Domain


@pytest.fixture
def plugged(monkeypatch, tmp_path):
    """Add entry points to a group: ``plugged(group, name="module:object", source=...)``."""
    real = registry.entry_points
    extra = []

    def add(group, name, value, source=None):
        if source is not None:
            (tmp_path / f"{value.partition(':')[0]}.py").write_text(textwrap.dedent(source))
        extra.append(EntryPoint(name, value, f"gensr.{group}"))
        registry.refresh()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [*real(group=group), *(e for e in extra if e.group == group)]
    )
    registry.refresh()
    before = set(sys.modules)
    yield add
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]
    monkeypatch.undo()
    registry.refresh()


def test_first_party_plugins_are_found_like_any_other():
    assert {"faces", "satellite", "microscopy", "astronomy", "medical"} <= set(registry.names("domains"))
    assert "gaussian" in registry.names("generators")
    for name in ("faces", "satellite", "microscopy", "astronomy", "medical"):
        domain = installed.domain(name)
        assert isinstance(domain, Domain)
        assert domain.name == name
        assert domain is installed.domain(name)


def test_unknown_names_list_what_is_installed():
    with pytest.raises(PluginError, match=r"domain 'radar' is not installed; installed: .*astronomy.*satellite"):
        installed.domain("radar")
    with pytest.raises(PluginError, match=r"generator 'gan' is not installed; installed: .*gaussian"):
        families.family("gan")


def test_a_broken_plugin_is_named_and_the_others_are_there(plugged):
    plugged("domains", "broken", "broken_pack:Broken", "raise RuntimeError('no licence')")
    with pytest.warns(UserWarning, match=r"plugin 'broken' \(broken_pack:Broken\) fails to import: no licence"):
        found = {domain.name for domain in installed.domains()}
    assert {"faces", "medical"} <= found
    with pytest.raises(PluginError, match="no licence"):
        installed.domain("broken")


def test_a_plugin_without_its_object_is_named(plugged):
    plugged("domains", "hollow", "hollow_pack:Nothing", "")
    with pytest.raises(PluginError, match=r"plugin 'hollow'.*Nothing"):
        installed.domain("hollow")


def test_a_missing_dependency_is_named(plugged):
    plugged("domains", "needy", "needy_pack:Needy", "import no_such_library.part")
    with pytest.raises(PluginError, match=r"'needy' needs the package 'no_such_library'; pip install no_such_library$"):
        installed.domain("needy")


def test_a_missing_part_of_the_plugin_itself_is_no_dependency(plugged):
    plugged("domains", "torn", "torn_pack:Torn", "from gensr.no_such_part import x")
    with pytest.raises(PluginError, match=r"plugin 'torn' .*fails to import.*gensr\.no_such_part"):
        installed.domain("torn")


def test_a_plugin_that_fails_when_made_is_named(plugged):
    plugged("domains", "moody", "moody_pack:Moody", "class Moody:\n    def __init__(self): raise OSError('not today')")
    with pytest.raises(PluginError, match=r"plugin 'moody'.*not today"):
        installed.domain("moody")


def test_a_doubled_name_keeps_the_first_and_warns(plugged):
    plugged("domains", "faces", "other_pack:Faces", "raise RuntimeError('never imported')")
    with pytest.warns(
        UserWarning, match=r"'faces' is registered twice \(gensr\.domains\.faces:Faces and other_pack:Faces\)"
    ):
        registry.names("domains")
    assert type(installed.domain("faces")).__module__.startswith("gensr.domains.faces")


def test_a_plugin_of_somebody_else_is_used(plugged):
    source = "from gensr.domains.faces import Faces\nclass Radar(Faces):\n    name = 'radar'\n"
    plugged("domains", "radar", "radar_pack:Radar", source)
    assert installed.domain("radar").name == "radar"
    assert "radar" in {domain.name for domain in installed.domains()}


def test_weight_folders_of_plugins_come_after_our_own(plugged, tmp_path):
    (tmp_path / "their_weights").mkdir()
    (tmp_path / "their_weights" / "__init__.py").touch()
    plugged("weights", "a_pack", "their_weights")
    folders = registry.weight_folders()
    assert folders[0].parts[-2:] == ("generators", "weights")
    assert folders[-1] == tmp_path / "their_weights"


def test_a_broken_weight_folder_is_named_and_the_others_are_there(plugged):
    plugged("weights", "gone", "no_such_module")
    with pytest.warns(UserWarning, match="'gone'"):
        folders = registry.weight_folders()
    assert folders[0].parts[-2:] == ("generators", "weights")
