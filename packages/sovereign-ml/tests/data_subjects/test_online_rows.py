"""The key under which Feast's online stores keep a customer."""

import pytest

from sovereign_ml.data_subjects.stores.feast_sqlite import entity_key


@pytest.mark.parametrize("pseudonym", ["0f" * 16, "x", "a customer with a long name, äöü"])
def test_the_key_is_the_one_that_feast_makes(pseudonym: str) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    entity = EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val=pseudonym)])
    assert entity_key(pseudonym) == serialize_entity_key(entity, entity_key_serialization_version=3)
