"""The Faust shell: topics, the batched transport, agents, and one runtime for each assigned partition."""
