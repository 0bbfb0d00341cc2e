import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batch_endpoints.errors import SpecError
from batch_endpoints.specs import (
    COMPONENT,
    DEPLOYMENT,
    BatchEndpoint,
    Compute,
    Datastore,
    Invocation,
    Model,
    check,
    dump_yaml,
    load_yaml,
    read_yaml,
    set_value,
)
from batch_endpoints.specs.yaml_text import parse_yaml

BLOB = "name: raw\naccount_name: a\ncontainer_name: c\n"


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodle: m\n",
            ["F: 'model' is missing", "F:2: unknown key 'modle'; did you mean 'model'?"],
            id="misspelt at the root",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nsettings:\n  mini_batch_sise: 3\n",
            ["F:4: unknown key 'settings.mini_batch_sise'; did you mean 'mini_batch_size'?"],
            id="misspelt in settings",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nsettings:\n  retry_settings:\n    max_retry: 3\n",
            ["F:5: unknown key 'settings.retry_settings.max_retry'; did you mean 'max_retries'?"],
            id="misspelt two levels down",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nmini_batch_sise: 3\n",
            ["F:3: unknown key 'mini_batch_sise'; did you mean 'mini_batch_size'?"],
            id="misspelt in the legacy layout",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nretry_settings: {max_retry: 3}\n",
            ["F:3: unknown key 'retry_settings.max_retry'; did you mean 'max_retries'?"],
            id="misspelt below the legacy root",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel:\n  pth: x\n",
            ["F:3: unknown key 'model.pth'; did you mean 'path'?"],
            id="misspelt in a model in place",
        ),
        pytest.param(
            BatchEndpoint,
            "name: heart\ndefaults: {qqqq: 1}\n",
            ["F:2: unknown key 'defaults.qqqq'; known here: deployment_name"],
            id="nothing near: the known keys",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nretry_settings:\n  max_retries: soon\n",
            ["F:4: 'retry_settings.max_retries': expected a whole number, found 'soon'"],
            id="wrong type in the legacy layout",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: [a]\n",
            ["F:2: 'model': expected a valid string or keys and values, found a list"],
            id="wrong type where several are right",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nsettings: many\n",
            ["F:3: 'settings': expected keys and values, found 'many'"],
            id="a text for a mapping",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nsettings: {output_action: append}\n",
            ["F:3: 'settings.output_action': expected 'append_row' or 'summary_only', found 'append'"],
            id="not one of the choices",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\ntype: modle\n",
            ["F:3: 'type': expected 'model' or 'pipeline', found 'modle'"],
            id="unknown kind of deployment",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nmini_batch_size: 3\nsettings: {mini_batch_size: 4}\n",
            ["F:3: 'mini_batch_size' stands at the root and in settings; keep one of them"],
            id="in both layouts",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nresources: {instance_count: 1}\nsettings:\n  instance_count: 2\n",
            ["F:5: instance_count is 2 here and 1 in resources; keep one of them"],
            id="nodes in two places",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\noutput_action: summary_only\noutput_file_name: p.csv\n",
            ["F:4: output_file_name has no meaning with output_action summary_only; leave one out"],
            id="a file name without rows",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: xgb\nmodel: m\nsettings: {mini_batch_size: 64 MBs}\n",
            [
                "F:3: 'settings.mini_batch_size': expected a number of files, a size such as \"64MB\", "
                "or a number of \"rows\", found '64 MBs'"
            ],
            id="a size without meaning",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: x\nmodel: m\n",
            [
                "F:1: 'name': expected 3 to 32 letters, digits and dashes that start with a letter and do not end "
                "with a dash, found 'x'"
            ],
            id="a name that is too short",
        ),
        pytest.param(
            DEPLOYMENT,
            "name: pipe\ntype: pipeline\ncomponent: {jobs: {prep: {inputs: {x: {pathh: 1}}}}}\n",
            ["F:3: unknown key 'component.jobs.prep.inputs.x.pathh'; did you mean 'path'?"],
            id="misspelt deep in a pipeline in place",
        ),
        pytest.param(
            COMPONENT,
            "name: abc\n",
            ["F: 'type' is missing: expected 'command', 'parallel' or 'pipeline'"],
            id="no kind",
        ),
        pytest.param(
            COMPONENT,
            "type: comand\n",
            ["F:1: 'type': expected 'command', 'parallel' or 'pipeline', found 'comand'"],
            id="unknown kind of component",
        ),
        pytest.param(
            Compute,
            "name: cpu\nmin_instances: 9\n",
            ["F:2: min_instances is 9, more than max_instances (4)"],
            id="upside down",
        ),
        pytest.param(
            BatchEndpoint,
            "name: heart\nname: lung\n",
            ["F:2: 'name' stands twice, first in line 1"],
            id="a key twice",
        ),
        pytest.param(BatchEndpoint, "- heart\n", ["F: expected keys and values, found a list"], id="a list"),
        pytest.param(BatchEndpoint, "", ["F: expected keys and values, found nothing"], id="an empty file"),
        pytest.param(
            BatchEndpoint,
            "name: [\n",
            ["F:2: not valid YAML: expected the node content, but found '<stream end>'"],
            id="no YAML",
        ),
        pytest.param(
            BatchEndpoint,
            "name: heart\n\ta: b\n",
            ["F:2: not valid YAML: found character '\\t' that cannot start any token"],
            id="a tab",
        ),
        pytest.param(
            BatchEndpoint,
            "name: heart\ndescription: \0\n",
            ["F:2: not valid YAML: the character U+0000 is not allowed"],
            id="a control character",
        ),
        pytest.param(BatchEndpoint, "name: !!int soon\n", None, id="a tag that does not fit"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(tmp_path, spec, text, expected):
    file = tmp_path / "x.yml"
    file.write_text(text)
    with pytest.raises(SpecError) as told:
        load_yaml(spec, file)
    assert expected is None or str(told.value).replace(str(file), "F").splitlines() == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda f: None, "cannot read the file: No such file or directory (F)", id="missing"),
        pytest.param(lambda f: f.mkdir(), "cannot read the file: Is a directory (F)", id="a folder"),
        pytest.param(lambda f: f.write_bytes(b"name: \xff"), "the file is not UTF-8 text (F)", id="not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, expected):
    file = tmp_path / "x.yml"
    make(file)
    with pytest.raises(SpecError) as told:
        load_yaml(Model, file)
    assert str(told.value).replace(str(file), "F") == expected


@pytest.mark.parametrize("document", [[1], None, "text", 3], ids=["list", "null", "text", "number"])
@pytest.mark.parametrize("spec", [DEPLOYMENT, COMPONENT, BatchEndpoint], ids=["deployment", "component", "endpoint"])
def test_a_body_that_is_no_mapping_is_an_error_of_ours(spec, document):
    with pytest.raises(SpecError, match=r"expected keys and values|is missing"):
        check(spec, document)


@pytest.mark.parametrize(
    "credentials",
    ["{account_key: hunter2}", "{account_key: [hunter2]}", "{client_secret: 4711}", "hunter2", "{hunter: hunter2}"],
)
def test_a_secret_in_a_datastore_is_refused_and_never_shown(tmp_path, credentials):
    file = tmp_path / "store.yml"
    file.write_text(f"{BLOB}credentials: {credentials}\n")
    with pytest.raises(SpecError, match="credentials") as told:
        load_yaml(Datastore, file)
    assert "hunter2" not in str(told.value)
    assert "4711" not in str(told.value)


@pytest.mark.parametrize("reference", ["env:STORE_KEY", "file:/run/secrets/key"])
def test_a_datastore_may_say_where_its_secret_is(tmp_path, reference):
    file = tmp_path / "store.yml"
    file.write_text(f"{BLOB}credentials: {{account_key: '{reference}'}}\n")
    assert load_yaml(Datastore, file).credentials.account_key == reference


def test_keys_with_nothing_behind_them_are_as_good_as_absent(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("name: xgb\nmodel: m\ntags:\ndescription:\nsettings:\nmini_batch_size: 3\nresources:\n")
    found = load_yaml(DEPLOYMENT, file)
    assert (found.tags, found.description, found.settings.mini_batch_size) == ({}, "", 3)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1", "1"),
        ("1.10", "1.10"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("'3'", "3"),
        ("true", "True"),
    ],
)
def test_versions_tags_and_variables_keep_the_text_that_was_written(tmp_path, written, read):
    file = tmp_path / "x.yml"
    file.write_text(
        f"name: xgb\nmodel: {{path: m, version: {written}}}\ntags: {{a: {written}}}\n"
        f"settings: {{environment_variables: {{A: {written}}}}}\n"
    )
    found = load_yaml(DEPLOYMENT, file)
    assert found.model.version == read
    assert found.tags == {"a": read}
    assert found.settings.environment_variables == {"A": read}


def test_anchors_merges_and_loops_do_not_confuse_the_reader(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("name: xgb\nmodel: m\ntags: &t {a: b}\nproperties: {<<: *t, c: d}\n")
    assert load_yaml(DEPLOYMENT, file).properties == {"a": "b", "c": "d"}
    file.write_text("name: xgb\nmodel: m\ntags: &t {a: *t}\n")
    with pytest.raises(SpecError):
        load_yaml(DEPLOYMENT, file)


def test_the_schema_line_of_azures_files_is_left_out(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("$schema: https://azuremlschemas.azureedge.net/latest/batchEndpoint.schema.json\nname: heart\n")
    assert read_yaml(file) == {"name": "heart"}


def test_changes_replace_what_the_file_says(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("name: xgb\nmodel: m\nsettings: {mini_batch_size: 3}\n")
    changes = {"settings.mini_batch_size": "7", "resources.instance_count": 2, "tags.a": "b"}
    found = load_yaml(DEPLOYMENT, file, changes)
    assert (found.settings.mini_batch_size, found.resources.instance_count, found.tags) == (7, 2, {"a": "b"})


def test_setting_a_value_makes_the_mappings_that_are_missing():
    document = {"a": 1}
    set_value(document, "a.b.c", 2)
    assert document == {"a": {"b": {"c": 2}}}


# what YAML text cannot hold (lone surrogates) no file has brought in
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=50)
@given(description=TEXT, tags=st.dictionaries(TEXT, TEXT, max_size=3))
def test_any_text_survives_yaml(description, tags):
    spec = BatchEndpoint(name="heart", description=description, tags=tags)
    document, _ = parse_yaml(dump_yaml(spec), "x.yml")
    assert check(BatchEndpoint, document) == spec


def test_an_invocation_file_gives_literals_in_azures_words(tmp_path):
    file = tmp_path / "job.yml"
    file.write_text("inputs:\n  mode: {type: string, default: append}\n  rate: {value: 0.5}\n  x: {path: data/}\n")
    inputs = load_yaml(Invocation, file).inputs
    assert [(given.type, given.value) for given in inputs.values()] == [
        ("literal", "append"),
        ("literal", 0.5),
        ("uri_folder", None),
    ]


def test_a_single_spec_in_an_adapter_tells_what_is_wrong_like_the_spec_itself():
    wrong = {"name": "no good!", "nmae": 1}
    told = []
    for spec in (BatchEndpoint, TypeAdapter(BatchEndpoint)):
        with pytest.raises(SpecError) as error:
            check(spec, wrong, where="endpoint.yml")
        told.append(str(error.value))
    assert told[0] == told[1]
    assert "unknown key 'nmae'; did you mean 'name'?" in told[0]


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("secret " * 20_000, "found 'secret", id="one text instead of keys"),
        pytest.param("x" * (1 << 20) + "x", "1048577 characters", id="a file that is too large"),
        pytest.param("a: *" + "secret" * 20_000, "found undefined alias", id="an alias that is not there"),
        pytest.param("a: !" + "secret" * 20_000 + " b", "could not determine a constructor", id="an unknown tag"),
        pytest.param("a: " + "[" * 5000 + "]" * 5000, "nested too deeply", id="5,000 levels"),
        pytest.param("a: " + "[" * 200 + "]" * 200, "more than 64 levels", id="200 levels"),
        pytest.param(LAUGHS, "are more than 100000 values", id="aliases of aliases"),
        pytest.param("name: " + "secret" * 8000, "expected 3 to 32 letters", id="a value that does not fit"),
        pytest.param("secret" * 100 + ": 1", "unknown key", id="an unknown key"),
        pytest.param("tags: {a: 1, " + "secret" * 50 + ": 1, " + "secret" * 50 + ": 1}", "stands twice", id="twice"),
        pytest.param("".join(f"key-{number}: 1\n" for number in range(5000)), "and 4981 more", id="many"),
    ],
)
def test_an_error_never_quotes_a_whole_document(tmp_path, text, told):
    file = tmp_path / "endpoint.yml"
    file.write_text(text)
    with pytest.raises(SpecError, match=told) as error:
        load_yaml(BatchEndpoint, file)
    assert len(str(error.value)) < 8000
    assert str(error.value).count("secret") < 60


@pytest.mark.parametrize(
    "number", ["1" * 5000, "1:" * 20_000 + "1", "0x" + "f" * 5000], ids=["digits", "base 60", "hex"]
)
def test_a_number_of_endless_length_is_text(tmp_path, number):
    file = tmp_path / "endpoint.yml"
    file.write_text(f"name: heart\nidentity: {{a: '1', b: {number}}}\n")
    assert load_yaml(BatchEndpoint, file).identity["b"] == number
