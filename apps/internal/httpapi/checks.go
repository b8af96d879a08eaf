package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// Checks collect what is wrong with a body, so that a client hears of all of it at once. The zero value has found nothing.
type Checks struct{ errs []FieldError }

// Add notes what is wrong with a member, which a JSON pointer names.
func (c *Checks) Add(pointer, detail string, args ...any) {
	c.errs = append(c.errs, FieldError{Pointer: pointer, Detail: fmt.Sprintf(detail, args...)})
}

// Err is the problem, or nil.
func (c *Checks) Err() error {
	if c.errs == nil {
		return nil
	}
	return Invalid(c.errs...)
}

// Text wants a text of min to max bytes that holds no card number: what people write is kept and shown.
func (c *Checks) Text(pointer, text string, least, most int) {
	switch {
	case len(text) < least:
		c.Add(pointer, "is missing")
	case len(text) > most:
		c.Add(pointer, "has %d bytes: want at most %d", len(text), most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		c.Add(pointer, "has characters that are no text")
	case pan.Found(text):
		c.Add(pointer, "holds a card number, which is not kept: write its token, which POST /v1/cards tells")
	}
}

// Card is how a body names a card: by its number, or by what stands for it.
type Card struct {
	PAN  pan.PAN `json:"pan"`
	Card string  `json:"card"`
}

// maxCard bounds what stands for a card.
const maxCard = 100

// Key returns what stands for the card, or notes what is wrong.
func (c Card) Key(ring *pan.Ring, checks *Checks) string {
	switch {
	case !c.PAN.IsZero() && c.Card != "":
		checks.Add("/card", "and pan exclude each other")
	case !c.PAN.IsZero():
		token, err := ring.Token(c.PAN)
		if err != nil {
			checks.Add("/pan", "%v", err)
		}
		return token
	case pan.Like(c.Card):
		checks.Add("/card", "is a card number: send it as pan, so that it is not kept")
	default:
		checks.Text("/card", c.Card, 1, maxCard)
	}
	return c.Card
}

// cardAnswer is what POST /v1/cards answers.
type cardAnswer struct {
	Card string `json:"card"`
	// Cards are the tokens under all keys, the newest first.
	Cards []string `json:"cards"`
	Shown string   `json:"shown"`
}

// CardsRoute tells the tokens of a card number, for those who have the number and look for what is known of the card. The number comes
// in a body: addresses are logged everywhere.
func CardsRoute(ring *pan.Ring) Route {
	return Route{Pattern: "POST /v1/cards", Handle: func(w http.ResponseWriter, r *http.Request) error {
		body, err := Decode[struct {
			PAN pan.PAN `json:"pan"`
		}](r)
		if err != nil {
			return err
		}
		if body.PAN.IsZero() {
			return Invalid(FieldError{Pointer: "/pan", Detail: "is missing"})
		}
		tokens, err := ring.Tokens(body.PAN)
		if err != nil {
			return Unavailable("%v", err)
		}
		return Reply(w, http.StatusOK, cardAnswer{Card: tokens[0], Cards: tokens, Shown: body.PAN.String()})
	}}
}
