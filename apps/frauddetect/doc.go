// Frauddetect finds suspicious card payments: amounts above a limit, amounts far above the mean of the card's own
// last 30 days, and bursts of payments.
//
//	frauddetect --input transactions.csv.gz    a file, then a summary
//	frauddetect --generate                     made-up payments until Ctrl-C
//	frauddetect serve --dir DIR                payments over HTTP
//	frauddetect generate --days N              made-up payments as a CSV file
//	frauddetect desk --dir DIR                 the fraud desk: rules and models that change while it runs
//	frauddetect backtest --rules FILE          what other rules would have decided
//	frauddetect evaluate --input FILE          how well models find the frauds of labelled payments
//	frauddetect train --input FILE --out DIR   models that are trained on labelled payments
//
// Payments are written to the topic transactions, keyed by card. The topology in topology.go turns them into the
// topic alerts; rows that do not parse go to frauddetect-dead-letters. By default the broker lives in this process and
// everything lies in a temporary directory. With --dir all of it is kept, and a run that was interrupted, by Ctrl-C or by
// kill -9, goes on where it stopped. A file is known by its name, header and first row: one that has grown is read on.
//
// Where to find what: payment holds the values and the CSV row, generator makes payments, rules decides, topology.go
// says how records flow, job.go runs the import and the topology side by side, alerts.go reads what came of it. For models: features
// makes numbers of a payment and its counts, scoring scores them, quality measures the scores, training fits models, replay.go runs payments
// and their labels through the topology for evaluate.go and train.go.
package main
