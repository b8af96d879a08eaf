// Package features turns a payment and what was counted for it into the numbers that models score.
//
// The first [Published] features are the 15 of Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection",
// chapter 3: the amount, weekend and night, number and mean amount of the card's payments, and number and share of known frauds
// of the terminal's payments, each over 1, 7 and 30 days. Windows are exact and half-open, (t-w, t], in seconds, not in calendar
// days; those of the terminal end LabelDelay before the payment, when its frauds are known.
//
// Those behind them are ours: the amount, and the largest of two weeks, over what the card usually pays; and how many frauds in a row were the
// last that is known of the terminal, and for how long nothing genuine.
//
// Counts are integers, money in cents; floating point begins with the Vector. The package is pure, and knows no topic.
package features
