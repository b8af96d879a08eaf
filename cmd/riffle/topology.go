package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/riffle-stream/riffle/stream"
)

func newTopology() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Compare topologies of stream applications",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTopologyDiff())
	return cmd
}

func newTopologyDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what becomes of stores and repartition topics",
		Long: `Compares two texts of a topology, as its String method writes them, and says of each store and repartition topic whether it is
kept, migrated, orphaned or new. It fails if anything is orphaned. OLD or NEW may be - for standard input.

An application keeps its text in the topic NAME-topology: riffle consume NAME-topology -o :now -f '%v' prints what ran.`,
		Example: `  riffle topology diff testdata/topology.golden new.txt
  riffle consume fraud-topology -o :now -f '%v' | riffle topology diff - new.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == "-" && args[1] == "-" {
				return usagef("name two files, one of which may be - for standard input: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			before, err := readText(cmd, files[0])
			if err != nil {
				return err
			}
			after, err := readText(cmd, files[1])
			if err != nil {
				return err
			}
			diff, err := stream.DiffTopologies(before, after)
			if err != nil {
				return fmt.Errorf("compare %s with %s: %w", files[0], files[1], err)
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), diff.String()); err != nil {
				return err
			}
			if len(diff.Of(stream.Orphaned)) > 0 {
				return errors.New("what is orphaned is used no more: give it its old name, or accept the loss with Config.AcceptOrphans")
			}
			return nil
		},
	}
}

// readText reads a file, or standard input for "-".
func readText(cmd *cobra.Command, file string) (string, error) {
	if file == "-" {
		b, err := io.ReadAll(cmd.InOrStdin())
		return string(b), err
	}
	b, err := os.ReadFile(file)
	return string(b), err
}
