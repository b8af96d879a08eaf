// Package scoring scores payments with models that were trained elsewhere.
//
// Concepts:
//
//   - A Model turns a vector of features into a score from 0 to 1: the probability of a fraud, as far as it is calibrated.
//
//   - Logistic is logistic regression; its file is JSON with "features", "weights" and "bias", for unscaled features.
//
//   - Trees are gradient-boosted trees in the JSON form of XGBoost (Booster.save_model to a file *.json), with a
//     binary:logistic objective. Inference is exact: float32 comparisons and sums in XGBoost's order.
//
//   - Rules score by the highest of the conditions that hold; their file has "rules", each with "condition" and "score".
//
//   - A Learner learns from labels that come late. Online is one: logistic regression by AdaGrad; its file has "online".
//
//   - An Explainer tells what each feature contributed to a score.
//
// Models are immutable and safe for concurrent use, but for a Learner, which belongs to one task. Those that come with the program ([Shipped]) are made by "frauddetect train" from
// generated payments.
package scoring
