"""The serving side: requests, the threads that execute them, what is answered."""
