//go:build race

package mcpauthfiberv3_test

const raceEnabled = true
