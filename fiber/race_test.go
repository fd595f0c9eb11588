//go:build race

package mcpauthfiber_test

const raceEnabled = true
