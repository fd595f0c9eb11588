package mcpauthrevocationredis

// AskForOne has the store ask for one message at a time, as it does after a server was silent several times.
func (s *Store) AskForOne() { s.pace.count.Store(1) }
