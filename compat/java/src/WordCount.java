import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * A word count of Kafka Streams, exactly once, over a repartition topic and with a changelog.
 *
 * <p>"feed" writes lines; "count" counts their words until it is killed; "verify" waits until the
 * counts are complete. Caches are off, so each word's counts must be 1, 2, 3, ... once each: a
 * record that is lost, counted twice or read from an aborted transaction shows.
 */
public final class WordCount {
    private static final List<String> WORDS = List.of("all", "work", "and", "no", "play");
    private static final int LINES = 4000;

    public static void main(String[] args) throws Exception {
        String mode = args[0], seeds = args[1], name = args[2];
        switch (mode) {
            case "feed" -> feed(seeds, name + "-in", Integer.parseInt(args[3]));
            case "count" -> count(seeds, name, Path.of(args[3]));
            case "verify" -> verify(seeds, name + "-out", Integer.parseInt(args[3]));
            default -> throw new IllegalArgumentException(mode);
        }
    }

    /** Writes the given half, 0 or 1, of the lines. */
    private static void feed(String seeds, String topic, int half) {
        var config = Map.<String, Object>of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, seeds);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            String line = String.join(" ", WORDS);
            for (int i = half * LINES / 2; i < (half + 1) * LINES / 2; i++) {
                producer.send(new ProducerRecord<>(topic, "line-" + i, line));
            }
        }
    }

    private static void count(String seeds, String name, Path state) throws InterruptedException {
        var config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, seeds);
        config.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 1000);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6000);

        var builder = new StreamsBuilder();
        builder.<String, String>stream(name + "-in")
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.as("words"))
                .count(Materialized.as("counts"))
                .toStream()
                .to(name + "-out", Produced.with(Serdes.String(), Serdes.Long()));
        var streams = new KafkaStreams(builder.build(), config);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        Thread.currentThread().join();
    }

    /** Reads the counts of the first halves lines until none is missing, at most 90 seconds. */
    private static void verify(String seeds, String topic, int halves) {
        var config = Map.<String, Object>of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, seeds,
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        long want = (long) halves * LINES / 2 * WORDS.size(), got = 0;
        var last = new HashMap<String, Long>();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.nanoTime() + Duration.ofSeconds(90).toNanos();
            while (got < want && System.nanoTime() < end) {
                for (ConsumerRecord<String, Long> r : consumer.poll(Duration.ofSeconds(1))) {
                    long before = last.getOrDefault(r.key(), 0L);
                    if (r.value() != before + 1) {
                        System.out.printf("%s: %d after %d%n", r.key(), r.value(), before);
                        return;
                    }
                    last.put(r.key(), r.value());
                    got++;
                }
            }
        }
        System.out.println(got == want ? "complete" : "%d of %d counts after 90 s".formatted(got, want));
    }
}
