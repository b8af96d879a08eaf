"""confluent-kafka-python (Debian's python3-confluent-kafka, librdkafka 2.0.2)."""
import os
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from report import run

seeds = sys.argv[1]
topic = f"compat-confluent-{os.getpid()}"
records = [(b"k%d" % i, b"v%d" % i) for i in range(100)]
admin = AdminClient({"bootstrap.servers": seeds})


def done(futures):
    for f in futures.values():
        f.result(20)


def create_topic():
    done(admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)]))
    assert topic in admin.list_topics(timeout=10).topics


def create_partitions():
    done(admin.create_partitions([NewPartitions(topic, 3)]))
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3


def alter_configs_round_trip():
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (described,) = [f.result(20) for f in admin.describe_configs([resource]).values()]
    changed = ConfigResource(ConfigResource.Type.TOPIC, topic)
    for name, entry in described.items():
        changed.set_config(name, entry.value)
    changed.set_config("retention.ms", "3600000")
    done(admin.alter_configs([changed]))
    (again,) = [f.result(20) for f in admin.describe_configs([resource]).values()]
    want = {name: e.value for name, e in described.items()} | {"retention.ms": "3600000"}
    assert {name: e.value for name, e in again.items()} == want


def produce():
    failed = []
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer({"bootstrap.servers": seeds, "compression.type": codec, "enable.idempotence": True})
        for k, v in records:
            producer.produce(topic, key=k, value=v, headers={"h": b"1"}, on_delivery=lambda e, m: e and failed.append(e))
        assert producer.flush(20) == 0
    assert not failed, failed


def read(config, want):
    consumer = Consumer({"bootstrap.servers": seeds, "auto.offset.reset": "earliest", "enable.auto.commit": False} | config)
    consumer.subscribe([topic])
    got = []
    while len(got) < want:
        m = consumer.poll(20)
        assert m is not None and not m.error(), m and m.error()
        got.append((m.key(), m.value()))
    consumer.commit(asynchronous=False)
    committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], 10)
    consumer.close()
    assert sum(tp.offset for tp in committed if tp.offset > 0) == want, committed
    return got


def consume_in_group():
    assert sorted(read({"group.id": topic}, 500)) == sorted(records * 5)


def consume_cooperatively():
    got = read({"group.id": topic + "-coop", "partition.assignment.strategy": "cooperative-sticky"}, 500)
    assert sorted(got) == sorted(records * 5)


def static_member():
    assert len(read({"group.id": topic + "-static", "group.instance.id": "one"}, 500)) == 500


def watermarks_and_times():
    consumer = Consumer({"bootstrap.servers": seeds, "group.id": topic + "-none"})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in range(3)]
    assert sum(high - low for low, high in ends) == 500, ends
    first = consumer.offsets_for_times([TopicPartition(topic, p, 1) for p in range(3)], timeout=10)
    assert [tp.offset for tp in first] == [0, 0, 0], first
    consumer.close()


def list_groups():
    assert topic in [g.id for g in admin.list_groups(timeout=10)]


def delete_topic():
    done(admin.delete_topics([topic]))
    assert topic not in admin.list_topics(timeout=10).topics


def transactions():
    txn_topic = topic + "-txn"
    done(admin.create_topics([NewTopic(txn_topic, num_partitions=1, replication_factor=1)]))
    producer = Producer({"bootstrap.servers": seeds, "transactional.id": txn_topic})
    producer.init_transactions(20)
    for commit in (True, False, True):
        producer.begin_transaction()
        producer.produce(txn_topic, value=b"kept" if commit else b"dropped")
        producer.commit_transaction(20) if commit else producer.abort_transaction(20)
    consumer = Consumer({"bootstrap.servers": seeds, "group.id": txn_topic, "auto.offset.reset": "earliest",
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.subscribe([txn_topic])
    got = []
    while True:
        m = consumer.poll(20)
        assert m is not None, got
        if m.error():
            break  # the end of the partition
        got.append(m.value())
    consumer.close()
    assert got == [b"kept", b"kept"], got


run(create_topic, create_partitions, alter_configs_round_trip, produce, consume_in_group, consume_cooperatively,
    static_member, watermarks_and_times, list_groups, delete_topic, transactions)
