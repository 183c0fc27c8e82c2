"""The manual page of the functions, doc/muster.7, against the functions."""

import pathlib
import re

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "doc" / "muster.7"


def manual():
    """Its text on one line, without what is there for roff."""
    text = MANUAL.read_text(encoding="utf-8").replace("\\-", "-")
    return re.sub(r"\s+", " ", text.replace('"', ""))


def test_B5_the_manual_has_each_public_function_as_it_is(db):
    said = {}
    for name, parameters in re.findall(r"muster\.(\w+)\(([^()]*)\)", manual()):
        said.setdefault(name, set()).add(parameters.strip())
    said["enqueue_unique"] = said["enqueue"]  # "the same"
    for name, parameters in db.rows("""
            SELECT p.proname, pg_get_function_arguments(p.oid) FROM pg_proc p
            WHERE p.pronamespace = 'muster'::regnamespace
                AND has_function_privilege('app', p.oid, 'EXECUTE')
                AND p.proname NOT IN ('rate_text', 'rate_next', 'state_name',
                'run_outcome')"""):
        parameters = re.sub(r"::[a-z ]+(\[\])?", "", parameters)
        for long, short in (("timestamp with time zone", "timestamptz"),
                            ("integer", "int"), (" DEFAULT ", " = "),
                            ("'00:00:00'", "'0'")):
            parameters = parameters.replace(long, short)
        assert parameters in said[name], name


def test_H3_the_manual_names_each_view_and_column_of_rows_to_copy(db):
    text = manual()
    for view, in db.rows("""
            SELECT relname FROM pg_class WHERE relkind = 'v'
                AND relnamespace = 'muster'::regnamespace
                AND has_table_privilege('app', oid, 'SELECT')"""):
        assert f"muster.{view}" in text
    columns = db.one("""
        SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'muster.enqueue_rows'::regclass AND attnum > 0""")
    assert f"muster.enqueue_rows ({columns})" in text
