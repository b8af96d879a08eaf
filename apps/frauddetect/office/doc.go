// Package office is where people change what the fraud desk does: it refuses what would be refused later, and writes the rest.
//
// [Open] reads what is in force; [Office.Change] checks a change against it, under the limits of types and cost that hold for conditions,
// and writes it to [desk.Changes]. [Office.Wait] tells where it took effect. Two offices may be open at once: if they change the
// same thing, the second change is refused where it is read, which Wait tells too.
package office
