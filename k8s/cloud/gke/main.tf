# What tabserve needs of a cloud, by the example of Google's: a cluster, a registry for the images, a
# bucket for MLflow's artifacts, and a PostgreSQL for the log. A beginning to change, not a module.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

variable "project" { type = string }

variable "region" {
  type    = string
  default = "europe-west4"
}

variable "owner_password" {
  type      = string
  sensitive = true
}

provider "google" {
  project = var.project
  region  = var.region
}

resource "google_compute_network" "main" {
  name = "tabserve"
}

# Autopilot enforces NetworkPolicies, and sets CPU limits equal to requests: workers follow either.
resource "google_container_cluster" "main" {
  name             = "tabserve"
  location         = var.region
  network          = google_compute_network.main.name
  enable_autopilot = true
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "tabserve"
  location      = var.region
  format        = "DOCKER"
}

resource "google_storage_bucket" "artifacts" {
  name                        = "${var.project}-mlflow"
  location                    = var.region
  uniform_bucket_level_access = true
}

# The database has an address of this range alone: put it into the policy external-postgresql.
resource "google_compute_global_address" "database" {
  name          = "tabserve-database"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = "10.90.0.0"
  prefix_length = 20
  network       = google_compute_network.main.id
}

resource "google_service_networking_connection" "database" {
  network                 = google_compute_network.main.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
}

resource "google_sql_database_instance" "log" {
  name             = "tabserve"
  region           = var.region
  database_version = "POSTGRES_17"
  depends_on       = [google_service_networking_connection.database]

  settings {
    tier    = "db-custom-2-8192"
    edition = "ENTERPRISE"

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }
  }
}

resource "google_sql_database" "log" {
  name     = "tabserve"
  instance = google_sql_database_instance.log.name
}

resource "google_sql_user" "owner" {
  name     = "owner"
  instance = google_sql_database_instance.log.name
  password = var.owner_password
}

output "registry" {
  value = google_artifact_registry_repository.images.registry_uri
}

output "database" {
  value = google_sql_database_instance.log.private_ip_address
}
