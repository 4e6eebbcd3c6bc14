"""StatefulSets: numbered pods that keep their name, their claims and their order."""
