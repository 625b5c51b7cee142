"""The contract: a Subject is asked a Query by a Method and answers with a Result."""
