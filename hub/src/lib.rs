//! The central service of a fleet of edge clusters.
