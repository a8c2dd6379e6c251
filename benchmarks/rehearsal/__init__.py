"""A rehearsal of the whole job on a made-up log of Criteo's, Avazu's or KDD's form and of any size."""
