package stream_test

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// models says which test compares an operator with a model that is too simple to be wrong, on random input: records that come late,
// out of order and at equal times, null keys and values where they matter, and restarts in between. They are in this package and in
// streamtest.
var models = map[string]string{
	"Builder_From":                 "TestOperatorsModel",
	"Builder_GlobalTable":          "TestGlobalTableModel",
	"Builder_OnError":              "TestAttemptsModel",
	"Builder_Table":                "TestTableModels",
	"Builder_TableIn":              "TestTableModels",
	"Cogrouped_Aggregate":          "TestTableModels",
	"Cogrouped_With":               "TestTableModels",
	"GroupedTable_Aggregate":       "TestTableModels",
	"GroupedTable_Count":           "TestTableModels",
	"GroupedTable_Reduce":          "TestTableModels",
	"Joined_LateLeft":              "TestJoinStreamModel",
	"Joined_LateRight":             "TestJoinStreamModel",
	"Processor_OnTimer":            "TestProcessorModel",
	"Processor_Punctuate":          "TestProcessorModel",
	"Processor_PunctuateWallClock": "TestProcessorModel",
	"SessionWindowed_Aggregate":    "TestSessionModel",
	"SessionWindowed_Count":        "TestSessionModel",
	"SessionWindowed_Reduce":       "TestSessionModel",
	"SlidingWindowed_Aggregate":    "TestSlidingModel",
	"SlidingWindowed_Count":        "TestSlidingModel",
	"SlidingWindowed_Reduce":       "TestSlidingModel",
	"Stream_Aggregate":             "TestTableModels",
	"Stream_AsyncMap":              "TestAsyncIsAsInPlace",
	"Stream_AsyncMapRecord":        "TestAsyncIsAsInPlace",
	"Stream_Branch":                "TestOperatorsModel",
	"Stream_Cogroup":               "TestTableModels",
	"Stream_Count":                 "TestTableModels",
	"Stream_Filter":                "TestOperatorsModel",
	"Stream_FilterRecord":          "TestOperatorsModel",
	"Stream_FlatMap":               "TestOperatorsModel",
	"Stream_FlatMapRecord":         "TestOperatorsModel",
	"Stream_Join":                  "TestStreamTableModel",
	"Stream_JoinGlobal":            "TestGlobalTableModel",
	"Stream_JoinStream":            "TestJoinStreamModel",
	"Stream_LeftJoin":              "TestStreamTableModel",
	"Stream_LeftJoinGlobal":        "TestGlobalTableModel",
	"Stream_LeftJoinStream":        "TestJoinStreamModel",
	"Stream_Map":                   "TestOperatorsModel",
	"Stream_MapRecord":             "TestOperatorsModel",
	"Stream_Merge":                 "TestOperatorsModel",
	"Stream_OuterJoinStream":       "TestJoinStreamModel",
	"Stream_Peek":                  "TestOperatorsModel",
	"Stream_PeekRecord":            "TestOperatorsModel",
	"Stream_Process":               "TestOperatorsModel",
	"Stream_ProcessWith":           "TestProcessorModel",
	"Stream_Reduce":                "TestTableModels",
	"Stream_Rekey":                 "TestOperatorsModel",
	"Stream_Sessions":              "TestSessionModel",
	"Stream_Sliding":               "TestSlidingModel",
	"Stream_To":                    "TestOperatorsModel",
	"Stream_TryFilter":             "TestOperatorsModel",
	"Stream_TryFlatMap":            "TestOperatorsModel",
	"Stream_TryMap":                "TestOperatorsModel",
	"Stream_Window":                "TestWindowModel",
	"Table_Changes":                "TestTableModels",
	"Table_Filter":                 "TestTableModels",
	"Table_FilterRow":              "TestTableModels",
	"Table_Join":                   "TestTableModels",
	"Table_JoinForeign":            "TestTableModels",
	"Table_LeftJoin":               "TestTableModels",
	"Table_LeftJoinForeign":        "TestTableModels",
	"Table_Map":                    "TestTableModels",
	"Table_MapRow":                 "TestTableModels",
	"Table_Materialize":            "TestTableModels",
	"Table_OuterJoin":              "TestTableModels",
	"Table_Rekey":                  "TestTableModels",
	"Table_Stream":                 "TestTableModels",
	"Table_Suppress":               "TestSuppressModel",
	"Table_To":                     "TestTableModels",
	"Topic_EventTime":              "TestOperatorsModel",
	"Topic_OnError":                "TestHandlersModel",
	"WindowTable_Late":             "TestWindowModel",
	"WindowTable_LateWith":         "TestWindowModel",
	"WindowTable_OnClose":          "TestWindowModel",
	"Windowed_Aggregate":           "TestWindowModel",
	"Windowed_Count":               "TestWindowModel",
	"Windowed_Reduce":              "TestWindowModel",
}

// unmodelled are the methods that do nothing with records.
var unmodelled = []string{"Builder_Build", "Topic_TableStore"}

// Every operator is compared with a model: the test that models names draws its input, and its file uses the operator.
func TestEveryOperatorHasAModel(t *testing.T) {
	t.Parallel()
	files := parsed(t, "*_test.go")
	maps.Copy(files, parsed(t, "streamtest/*_test.go"))
	used := make(map[string]map[string]bool) // by test, the names that its file selects
	for _, f := range files {
		names := make(map[string]bool)
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				names[s.Sel.Name] = true
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "rapid" {
					names["rapid."+s.Sel.Name] = true
				}
			}
			return true
		})
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				used[f.Name.Name] = names
			}
		}
	}
	operators := exportedOperators(t)
	for _, name := range operators {
		if slices.Contains(unmodelled, name) {
			continue
		}
		test := models[name]
		_, method, _ := strings.Cut(name, "_")
		switch names := used[test]; {
		case test == "":
			t.Errorf("operator %s has no model: write a test that compares it with one on random input, and name it in models", name)
		case names == nil:
			t.Errorf("operator %s: there is no test %s", name, test)
		case !names["rapid.Check"] || !names[method]:
			t.Errorf("operator %s: the file of %s draws no input, or does not use %s", name, test, method)
		}
	}
	for name := range models {
		if !slices.Contains(operators, name) {
			t.Errorf("models names %s, which is no operator", name)
		}
	}
}
