// Package quality measures how well scores find frauds, by the protocol of Le Borgne et al., "Reproducible Machine
// Learning for Credit Card Fraud Detection", chapters 3 to 5.
//
// Concepts:
//
//   - A Week is a test week with the train week before it: seven days of training, seven days in which labels arrive, seven days of test.
//   - Cards with a fraud that is known on a test day are not part of it: they would have been blocked.
//   - Measures are the area under the ROC curve, average precision, and Card Precision@100: how many of the 100 cards that an
//     investigator looks at each day are compromised.
//
// The measures are those of scikit-learn and of the book's own functions, to the last digit but for the order of equal scores in
// Card Precision. The package is pure.
package quality
