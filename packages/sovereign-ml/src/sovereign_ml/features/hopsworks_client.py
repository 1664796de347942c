"""Program for the environment of the Hopsworks client: publish rows, remove rows, read the topic.

It reads a job as JSON from standard input and writes an answer to the file of its argument. Rows go
to the online store only (``storage="online"``): the offline side stays in the project, so there is
no history at Hopsworks that a deletion would have to clean. TLS is verified, which is not the
client's default, and the keys of the project are in the private folder of this call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

KEY, AS_OF = "customer_id", "event_timestamp"
QUIET = {"run_validation": False}
TIMEOUT_S = 20


def feature_group(job: dict[str, Any], columns: list[tuple[str, str]] | None = None) -> Any:
    """Return the feature group, made with ``columns`` (name and type) where it does not exist."""
    import hopsworks
    from hsfs.feature import Feature

    home = Path(os.environ["HOME"])  # noqa: TID251  a program of its own
    project = hopsworks.login(
        host=job["host"],  # without one the client goes to the vendor's cloud
        port=job["port"],
        project=job["project"],
        api_key_value=job["key"],
        hostname_verification=True,
        trust_store_path=job["trust_store"] or None,
        cert_folder=str(home / "keys"),
        engine="python",
    )
    store = project.get_feature_store()
    if columns is None:
        return store.get_feature_group(job["view"], version=job["version"])
    group = store.get_or_create_feature_group(
        job["view"],
        version=job["version"],
        description="Newest features of current customers, from the project's own Parquet files.",
        primary_key=[KEY],
        event_time=AS_OF,
        features=[Feature(name, type) for name, type in columns],
        online_enabled=True,
        stream=True,
        time_travel_format="NONE",
        statistics_config=False,
        ttl=timedelta(days=job["ttl_days"]),
    )
    if group.id is None:
        group.save()
    store.get_or_create_feature_view(job["view"], version=job["version"], query=group.select_all())
    return group


def publish(job: dict[str, Any]) -> int:
    """Write the newest snapshot of each current customer, and return how many there are."""
    import pandas as pd

    rows = pd.read_parquet(job["path"], columns=[KEY, AS_OF, *job["features"]])
    rows = rows[rows[AS_OF] == pd.Timestamp(datetime.fromisoformat(job["as_of"]))]
    types = [(KEY, "string"), (AS_OF, "timestamp")]
    rows[AS_OF] = rows[AS_OF].dt.tz_localize("UTC")
    for name in job["features"]:
        number = pd.api.types.is_numeric_dtype(rows[name])
        types.append((name, "double" if number else "string"))
        # A missing value is null. NaN is a value that RonDB does not have.
        rows[name] = rows[name].astype("Float64" if number else "string")
    group = feature_group(job, types)
    group.insert(rows, storage="online", validation_options=QUIET)
    return len(rows)


def remove(job: dict[str, Any]) -> int:
    """Delete the rows of people from the online store, and return how many were asked for."""
    import pandas as pd

    group = feature_group(job)
    if group is None:
        return 0
    group.remove_rows(pd.DataFrame({KEY: job["people"]}), storage="online")
    return len(job["people"])


def messages(job: dict[str, Any]) -> dict[str, Any]:
    """Return the topic of the feature group and how many messages in it are about people.

    Written and deleted rows stay readable there until the topic's retention ends.
    """
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    from hsfs.core import kafka_engine

    group = feature_group(job)
    if group is None:
        return {"topic": "", "count": 0}
    config = kafka_engine._get_kafka_config(group.feature_store_id, {})
    settings = {"group.id": "churn-erasure", "enable.auto.commit": False}
    consumer = Consumer({**config, **settings, "enable.partition.eof": True})
    topic, count = group._online_topic_name, 0
    try:
        listed = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if listed.error and listed.error.name() == "UNKNOWN_TOPIC_OR_PART":
            return {"topic": topic, "count": 0}  # Kafka makes it with the first message
        if listed.error:
            raise RuntimeError(f"topic {topic}: {listed.error}")
        open_ends = set(listed.partitions)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in open_ends])
        people = [name.encode() for name in job["people"]]
        while open_ends:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise RuntimeError(f"topic {topic} was not read to its end")
            if message.error():
                if message.error().name() != "_PARTITION_EOF":
                    raise RuntimeError(f"topic {topic}: {message.error()}")
                open_ends.discard(message.partition())
                continue
            content = (message.key() or b"") + (message.value() or b"")
            count += any(name in content for name in people)
    finally:
        consumer.close()
    return {"topic": topic, "count": count}


VERBS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "publish": publish,
    "remove": remove,
    "messages": messages,
}


def main() -> None:
    """Carry out the job. An error of the server or the network becomes one line."""
    os.umask(0o077)
    job = json.load(sys.stdin)
    Path(os.environ["HOME"], "keys").mkdir(mode=0o700)  # noqa: TID251
    try:
        content = {"answer": VERBS[job["do"]](job)}
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        content = {"error": f"Hopsworks at {job['host']}: {_explained(error, text)}"}
    path = Path(sys.argv[1])
    # The caller takes a file without its whole content for an answer, so it appears at once.
    path.with_suffix(".part").write_text(json.dumps(content), encoding="utf-8")
    path.with_suffix(".part").replace(path)


def _explained(error: Exception, text: str) -> str:
    if "SSL" in type(error).__name__ or "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            "its certificate is from no authority that this machine trusts: name the file of "
            "yours in [hopsworks] trust_store. No key was sent."
        )
    if "HTTP code: 401" in text or "HTTP code: 403" in text:
        return "it refuses the key: check CHURN_HOPSWORKS_API_KEY and its scopes."
    return f"{text[:200]}. The same command goes on."


if __name__ == "__main__":
    main()
