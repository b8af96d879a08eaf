package payment

import "time"

// Tick is no payment but a moment: everything before it has been written. It moves the time of a partition that holds payments back
// to bring them into order, where nothing else comes.
func Tick(at time.Time, key string) Transaction {
	return Transaction{Time: at, Card: key, Scenario: tickScenario}
}

// tickScenario is no scenario.
const tickScenario = -1

// IsTick reports whether t is a tick.
func (t Transaction) IsTick() bool { return t.Scenario == tickScenario }
