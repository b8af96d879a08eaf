// @platformatic/kafka 2.12.1: new versions of the protocol, fetches in sessions.
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { equal, run } from './report.mjs'

const common = { clientId: 'compat', bootstrapBrokers: [process.argv[2]] }
const topic = `compat-platformatic-${process.pid}`
const admin = new Admin(common)
const messages = Array.from({ length: 100 }, (_, i) => ({ topic, key: `k${i}`, value: `v${i}`, headers: { h: '1' } }))
const TOPIC = 2

async function read(options, want) {
  const consumer = new Consumer({ ...common, deserializers: stringDeserializers, ...options })
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: true })
  const got = []
  for await (const m of stream) {
    got.push(m.value)
    equal('1', m.headers.get('h'), 'header')
    if (got.length === want) break
  }
  await consumer.close(true)
  return got.sort()
}

await run({
  async 'create-topic'() {
    await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 })
    equal(true, (await admin.listTopics()).includes(topic), 'topics')
  },
  async 'create-partitions'() {
    await admin.createPartitions({ topics: [{ name: topic, count: 3, assignments: null }] })
  },
  async 'incremental-alter-configs'() {
    await admin.incrementalAlterConfigs({
      resources: [{ resourceType: TOPIC, resourceName: topic, configs: [{ name: 'retention.ms', configOperation: 0, value: '3600000' }] }],
    })
    const [{ configs }] = await admin.describeConfigs({ resources: [{ resourceType: TOPIC, resourceName: topic, configurationKeys: ['retention.ms'] }] })
    equal('3600000', configs[0].value, 'retention.ms')
  },
  async produce() {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      if (compression === 'zstd' && !process.versions.zstd) continue // this node cannot
      const producer = new Producer({ ...common, serializers: stringSerializers, idempotent: true, compression })
      await producer.send({ messages })
      await producer.close()
    }
  },
  async 'consume-in-group'() {
    const n = process.versions.zstd ? 5 : 4
    const want = Array.from({ length: n }, () => messages.map((m) => m.value)).flat().sort()
    equal(want, await read({ groupId: topic }, want.length), 'records')
  },
  async 'consume-in-group-kip-848'() {
    const n = process.versions.zstd ? 500 : 400
    equal(n, (await read({ groupId: topic + '-848', groupProtocol: 'consumer' }, n)).length, 'records')
  },
  async 'log-dirs'() {
    const [{ results }] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1, 2] }] })
    const sizes = results.flatMap((r) => r.topics).flatMap((t) => t.partitions).map((p) => Number(p.partitionSize))
    equal(3, sizes.filter((s) => s > 0).length, `sizes ${sizes}`)
  },
  async groups() {
    equal(true, (await admin.listGroups()).has(topic), 'listed')
    equal(topic, (await admin.describeGroups({ groups: [topic] })).get(topic).id, 'described')
  },
  async 'delete-topic'() {
    await admin.deleteTopics({ topics: [topic] })
    equal(false, (await admin.listTopics()).includes(topic), 'topics')
  },
})
