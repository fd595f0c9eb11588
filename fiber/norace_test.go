//go:build !race

package mcpauthfiber_test

const raceEnabled = false
