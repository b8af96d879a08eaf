"""kafka-python (Debian's python3-kafka): old versions of the protocol."""
import os
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

from report import run

seeds = sys.argv[1]
topic = f"compat-kafka-python-{os.getpid()}"
group = topic
records = [(b"k%d" % i, b"v%d" % i) for i in range(100)]
admin = KafkaAdminClient(bootstrap_servers=seeds)


def create_topic():
    admin.create_topics([NewTopic(topic, 2, 1)])
    assert topic in admin.list_topics(), admin.list_topics()


def create_partitions():
    admin.create_partitions({topic: NewPartitions(3)})
    consumer = KafkaConsumer(bootstrap_servers=seeds)
    assert consumer.partitions_for_topic(topic) == {0, 1, 2}, consumer.partitions_for_topic(topic)
    consumer.close()


def alter_configs():
    # The old AlterConfigs, which replaces all of them.
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "3600000"})])
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    configs = {c[0]: c[1] for response in described for r in response.resources for c in r[4]}
    assert configs["retention.ms"] == "3600000", configs


def produce():
    for codec in (None, "gzip"):
        producer = KafkaProducer(bootstrap_servers=seeds, acks="all", compression_type=codec)
        sent = [producer.send(topic, key=k, value=v, headers=[("h", b"1")]) for k, v in records]
        producer.flush()
        assert all(f.get(10).offset >= 0 for f in sent)
        producer.close()


def consume_in_group():
    consumer = KafkaConsumer(topic, bootstrap_servers=seeds, group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=8000)
    got = []
    for r in consumer:
        got.append((r.key, r.value))
        assert r.headers == [("h", b"1")], r.headers
        if len(got) == 2 * len(records):
            break
    consumer.commit()
    consumer.close()
    assert sorted(got) == sorted(records + records), len(got)


def committed_offsets():
    offsets = admin.list_consumer_group_offsets(group)
    assert sum(o.offset for o in offsets.values()) == 2 * len(records), offsets
    assert (group, "consumer") in admin.list_consumer_groups()
    consumer = KafkaConsumer(bootstrap_servers=seeds)
    ends = consumer.end_offsets([TopicPartition(topic, p) for p in range(3)])
    assert sum(ends.values()) == 2 * len(records), ends
    consumer.close()


def delete_topic():
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()


run(create_topic, create_partitions, alter_configs, produce, consume_in_group, committed_offsets, delete_topic)
admin.close()
