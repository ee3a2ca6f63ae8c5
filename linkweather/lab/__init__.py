"""An emulated wide-area mesh on one machine: network namespaces with delay, loss and rate between them."""
