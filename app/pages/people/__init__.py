"""The people of a shared server; on a server of one reader none of these pages is there."""
