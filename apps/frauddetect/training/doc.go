// Package training fits the models that package scoring runs.
//
// Concepts:
//
//   - A Set is labelled payments as features.
//   - Logistic fits logistic regression on standardised features, with an L2 penalty, by Newton's method.
//   - Trees fits gradient-boosted trees as XGBoost does: second-order gradients of the logistic loss, leaves and gains with an L2
//     penalty (Chen and Guestrin 2016), splits found on histograms of up to 255 bins.
//
// Nothing is drawn at random: equal sets give equal models, byte for byte, on every machine and with any number of processors.
package training
