//go:build !linux

package main

func smallDisk(s *scene, _ int) string {
	s.Helper()
	s.Skip("a small disk is mounted on Linux only")
	return ""
}
