"""Rights of a PostgreSQL role that writes the decision log, and rights that it should not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

MAY = {
    # Blanking is the one change that the trigger lets through.
    "decision_log": "SELECT, INSERT, UPDATE (subject, salt, body)",
    "objections": "SELECT, INSERT",
    "restrictions": "SELECT, INSERT, DELETE",
    "withdrawals": "SELECT, INSERT, DELETE",
    "erased": "SELECT, INSERT",
    "open_reviews": "SELECT, INSERT, DELETE",
    "fact_counts": "SELECT, INSERT, UPDATE, DELETE",
}
"""Rights that a role needs to write the log, and no more, by table."""
_ROLES = """roles AS (SELECT m.oid, m.rolname, m.rolsuper, m.rolcreaterole, m.oid = r.oid AS itself
    FROM pg_catalog.pg_roles AS r JOIN pg_catalog.pg_roles AS m ON pg_has_role(r.oid, m.oid, 'MEMBER')
    WHERE r.rolname = coalesce(?, current_user))"""
"""The role and every role that it may become by SET ROLE, also without inheriting its rights."""
EXCESS = f"""WITH {_ROLES}, owners AS (
    SELECT relowner AS id FROM pg_catalog.pg_class WHERE oid = ANY (
        SELECT to_regclass(name) FROM unnest(ARRAY{list(MAY)}) AS name)
    UNION SELECT proowner FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_trigger ON tgfoid = f.oid
        WHERE tgrelid = to_regclass('decision_log')
    UNION SELECT nspowner FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_class AS c
        ON relnamespace = n.oid WHERE c.oid = to_regclass('decision_log')
    UNION SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()),
switched AS (SELECT FROM pg_catalog.pg_db_role_setting JOIN roles ON setrole IN (0, oid) AND itself,
    unnest(setconfig) AS setting WHERE starts_with(setting, 'session_replication_role=')
    AND setting <> 'session_replication_role=origin' AND setdatabase IN (0, (
        SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())))
SELECT CASE WHEN bool_or(rolsuper) THEN 'is a superuser or may become one'
    WHEN bool_or(rolcreaterole) THEN 'may make roles'
    WHEN bool_or(oid IN (SELECT id FROM owners))
        THEN 'owns the tables of the log, their triggers, schema or database'
    WHEN bool_or(has_table_privilege(oid, to_regclass('decision_log'), 'TRUNCATE, DELETE, TRIGGER'))
        THEN 'may empty the log or change its triggers'
    WHEN bool_or(rolname IN ('pg_execute_server_program', 'pg_write_server_files'))
        THEN 'may run programs or write files on the server'
    WHEN EXISTS (SELECT FROM switched) OR current_setting('session_replication_role') <> 'origin'
        THEN 'has session_replication_role set, so that no trigger of the log fires'
    ELSE '' END FROM roles"""  # noqa: S608
"""Each way to change the parts that keep the log append-only, in words that continue "the role".

The owner of a schema or database may drop what others own in it.
"""
HAS_PARAMETERS = "SELECT to_regclass('pg_catalog.pg_parameter_acl') IS NOT NULL"
"""Before PostgreSQL 15 nobody but a superuser could be allowed to change such settings."""
PARAMETERS = f"""WITH {_ROLES} SELECT CASE
    WHEN bool_or(has_parameter_privilege(oid, 'session_replication_role', 'SET'))
        THEN 'may set session_replication_role, so that no trigger of the log fires'
    WHEN bool_or(EXISTS (SELECT FROM pg_catalog.pg_parameter_acl
        WHERE has_parameter_privilege(roles.oid, parname, 'ALTER SYSTEM')))
        THEN 'may change settings of the whole server'
    ELSE '' END FROM roles"""  # noqa: S608


def excess_rights(
    rows: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]], role: str | None
) -> str:
    """Return the excess rights of ``role``, or of the connected role, in words, "" for none.

    ``rows`` runs a query with parameters and returns its rows.
    """
    ((excess,),) = rows(EXCESS, (role,))
    if not excess and rows(HAS_PARAMETERS, ()) == [(True,)]:
        ((excess,),) = rows(PARAMETERS, (role,))
    return str(excess)
