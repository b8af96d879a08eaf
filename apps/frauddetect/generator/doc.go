// Package generator makes card payments, some of them fraudulent, without end.
//
// The model is the published one of Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection",
// chapter 3; the code and the random numbers are our own. Customers and terminals lie on a grid of 100 by 100.
// Each customer has a mean amount and a mean number of payments a day, and pays at the terminals within
// a radius. Three kinds of fraud are planted:
//
//   - scenario 1: an amount above 220;
//   - scenario 2: each day two terminals are compromised, and every payment there is fraud for 28 days;
//   - scenario 3: each day three cards leak, and for 14 days a third of their payments are fraud, of five times the amount.
//
// Beyond the published model, [Config.Cases] plants what the starter rules are about ([Kind]), [Profile] moves everything to another
// currency, and [Arrivals] makes of payments a stream in which some come twice, labelled with what they are.
//
// Equal configurations give equal payments, in order of time: the n-th payment depends on nothing else. So a
// run can go on where another one stopped. A Generator reads no clock and belongs to one goroutine.
package generator
