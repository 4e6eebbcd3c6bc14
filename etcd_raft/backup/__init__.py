"""The store as one file in the format of etcd's own database, and a member made anew from such a file.

`bolt` knows the file format, `contents` what etcd keeps where in it, `saved` what `etcdctl snapshot save` has fetched,
`restore` is the command.
"""
