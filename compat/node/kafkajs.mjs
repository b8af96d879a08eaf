// kafkajs 2.2.4
import kafkajs from 'kafkajs'
import { equal, run } from './report.mjs'

const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = kafkajs
const kafka = new Kafka({ clientId: 'compat', brokers: [process.argv[2]], logLevel: logLevel.ERROR })
const topic = `compat-kafkajs-${process.pid}`
const admin = kafka.admin()
await admin.connect()
const messages = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: `v${i}`, headers: { h: '1' } }))

async function read(groupId, topic, want) {
  const consumer = kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const got = []
  await new Promise((done, fail) => {
    consumer.run({
      eachMessage: async ({ message }) => {
        got.push(message.value.toString())
        if (got.length === want) done()
      },
    }).catch(fail)
  })
  await consumer.disconnect()
  return got
}

await run({
  async 'create-topic'() {
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: true })
    equal(true, (await admin.listTopics()).includes(topic), 'topics')
  },
  async 'create-partitions'() {
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    equal(3, (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length, 'partitions')
  },
  async 'alter-configs'() {
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
    await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
    const { resources } = await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }] })
    equal('3600000', resources[0].configEntries[0].configValue, 'retention.ms')
  },
  async produce() {
    for (const [idempotent, compression] of [[false, CompressionTypes.None], [true, CompressionTypes.GZIP]]) {
      const producer = kafka.producer({ idempotent })
      await producer.connect()
      await producer.send({ topic, messages, compression })
      await producer.disconnect()
    }
  },
  async 'consume-in-group'() {
    const got = await read(topic, topic, 200)
    equal([...messages, ...messages].map((m) => m.value).sort(), got.sort(), 'records')
  },
  async 'offsets'() {
    const ends = await admin.fetchTopicOffsets(topic)
    equal(200, ends.reduce((n, p) => n + Number(p.high), 0), 'ends')
    const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] })
    equal(200, committed.partitions.reduce((n, p) => n + Math.max(0, Number(p.offset)), 0), 'committed')
  },
  async groups() {
    equal(true, (await admin.listGroups()).groups.some((g) => g.groupId === topic), 'listed')
    equal('Empty', (await admin.describeGroups([topic])).groups[0].state, 'state')
  },
  async 'delete-topic'() {
    await admin.deleteTopics({ topics: [topic] })
    equal(false, (await admin.listTopics()).includes(topic), 'topics')
  },
  async transactions() {
    const name = topic + '-txn'
    await admin.createTopics({ topics: [{ topic: name }], waitForLeaders: true })
    const producer = kafka.producer({ transactionalId: name, maxInFlightRequests: 1, idempotent: true, retry: { retries: 2 } })
    await producer.connect()
    for (const [value, commit] of [['kept', true], ['dropped', false], ['kept', true]]) {
      const txn = await producer.transaction()
      await txn.send({ topic: name, messages: [{ value }] })
      await (commit ? txn.commit() : txn.abort())
    }
    await producer.disconnect()
    equal(['kept', 'kept'], await read(name, name, 2), 'records')
  },
})
